"""Plays Kubernetes and KEDA for a pool of real worker processes on this machine.

Kubernetes keeps as many pods as KEDA wants: it starts them on the emptiest node, removes any (SIGTERM, the
grace period, SIGKILL), starts a container that has ended again after a pause, and replaces the pods of a lost
node once it has noticed. KEDA looks at the board's TYPE and HLEN.
"""

import os
import random
import signal
import time
from collections import Counter
from dataclasses import dataclass, field

from redis import Redis
from redis.exceptions import RedisError

from bench.fleet.scaling import Scaler
from tests.drill.numbers import Numbers
from tests.pool.servers import Pool
from tests.pool.zygote import WorkerProcess


@dataclass
class Pod:
    """A worker's place on a node. Times of the monotonic clock; `end_by` once it was told to end."""

    node: int
    worker: WorkerProcess
    began: float
    end_by: float | None = None
    restart_at: float | None = None
    crashes: int = 0


@dataclass
class Cluster:
    """Nodes that are numbered from 0, and the pods of one model's workers on them.

    paid      seconds of pods that have ended, from their start on
    counted   what has happened
    most      pods at a time
    broken    nodes where the model cannot be loaded
    """

    pool: Pool
    numbers: Numbers
    rng: random.Random
    environment: dict[str, str]
    nodes: int = 4
    pods: list[Pod] = field(default_factory=list)
    lost: list[tuple[float, int]] = field(default_factory=list)  # when pods of a lost node are replaced
    paid: float = 0.0
    counted: Counter[str] = field(default_factory=Counter)
    most: int = 0
    broken: set[int] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.scaler, self.wanted, self.next_look = Scaler(self.numbers.scaling), 0, 0.0

    def step(self) -> None:
        """Do what is due."""
        now = time.monotonic()
        if now >= self.next_look:
            self.next_look = now + self.numbers.scaling.polling
            self._look(now)
        for pod in list(self.pods):
            self._attend(pod, now)
        self.lost = [(at, pods) for at, pods in self.lost if at > now]
        staying = [pod for pod in self.pods if pod.end_by is None]
        unseen = sum(pods for _, pods in self.lost)  # Kubernetes still takes them for running
        for _ in range(self.wanted - len(staying) - unseen):
            if (node := self._free_node()) is not None:  # else it is pending
                self.counted["started"] += 1
                self.pods.append(Pod(node, self._worker(node), now))
        for pod in self.rng.sample(staying, max(0, len(staying) + unseen - self.wanted)):
            self.remove(pod)
        self.most = max(self.most, len(self.pods))

    def remove(self, pod: Pod) -> None:
        """Tell a pod to end, as a scale-down, a drained node and the notice of a spot machine do."""
        self.counted["removed"] += 1
        pod.end_by = time.monotonic() + self.numbers.period
        pod.worker.terminate()

    def lose(self, node: int) -> None:
        """End a node without notice, with all its pods."""
        mine = [pod for pod in self.pods if pod.node == node]
        for pod in mine:
            self._kill(pod)
            self._gone(pod, time.monotonic())
        self.counted["lost with their node"] += len(mine)
        self.lost.append((time.monotonic() + self.numbers.unnoticed, len(mine)))

    def _look(self, now: float) -> None:
        key = f"savs:outstanding:{self.pool.queue}"
        try:
            redis = Redis.from_url(self.pool.redis.url)
            assert redis.type(key) in (b"hash", b"none")
            outstanding = int(redis.hlen(key))
        except RedisError:
            self.counted["looks without Redis"] += 1
            return  # no `fallback`: the workers stay as they are
        self.wanted = self.scaler.look(now, outstanding)

    def _free_node(self) -> int | None:
        """The emptiest node with a GPU that nobody has; a pod that is ending still has its own."""
        held = Counter(pod.node for pod in self.pods)
        node = min(range(self.nodes), key=lambda one: held[one])
        return node if held[node] < self.numbers.scaling.maximum / self.nodes else None

    def _worker(self, node: int) -> WorkerProcess:
        broken = {"FAKE_BREAK": str(self.pool.logs)} if node in self.broken else {}
        return self.pool.start("gpu", **self.environment | broken)

    def _attend(self, pod: Pod, now: float) -> None:
        ended = pod.worker.poll()
        if ended is None:
            if pod.end_by is not None and now >= pod.end_by:
                self.counted["killed after the grace period"] += 1
                self._kill(pod)
        elif pod.end_by is not None:
            self._gone(pod, now)
        elif pod.restart_at is None:
            first, longest = self.numbers.backoff
            pod.restart_at = now + min(first * 2**pod.crashes, longest)
            pod.crashes += 1
            self.counted["ended by themselves"] += 1
        elif now >= pod.restart_at:
            pod.worker, pod.restart_at = self._worker(pod.node), None

    def _gone(self, pod: Pod, now: float) -> None:
        self.paid += now - pod.began
        self.pods.remove(pod)

    def _kill(self, pod: Pod) -> None:
        try:
            os.killpg(pod.worker.pid, signal.SIGKILL)
        except ProcessLookupError:
            return
        pod.worker.wait()

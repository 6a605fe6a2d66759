"""A queue, its workers and their nodes in virtual time, event by event.

One node has one GPU, and so one worker. A cloud always has another node. Redis answers at once, messages are
not lost, and all jobs share one lane. Shards that are returned go to the end of the queue, as in savs.
"""

import heapq
import math
import random
from collections import deque
from collections.abc import Callable, Sequence

from bench.fleet.account import Account
from bench.fleet.scaling import Scaler
from bench.fleet.settings import Fleet, Loss, SimulatedJob


class Node:
    """A node and its worker.

    phase   starting, idle, busy; empty (no pod); or leaving (no pod, and will be lost)
    since   the time at which the phase began
    turn    counts the worker's events, so that one that was overtaken by another is recognised
    stays   False once its worker has been told to stop
    lost_at the time at which it will be lost, if there was a notice
    """

    __slots__ = ("born", "lost_at", "number", "phase", "shard", "since", "stays", "turn")

    def __init__(self, number: int, now: float) -> None:
        self.number, self.born, self.since = number, now, now
        self.phase, self.turn, self.shard, self.stays = "starting", 0, -1, True
        self.lost_at: float | None = None


class Simulation:
    """One run: `Simulation(fleet, jobs, seed).run()`."""

    def __init__(
        self, fleet: Fleet, jobs: Sequence[SimulatedJob], seed: int = 0, losses: Sequence[Loss] = ()
    ) -> None:
        self.fleet, self.jobs, self.losses = fleet, jobs, {loss.node: loss for loss in losses}
        self.rng = random.Random(seed)
        self.scaler = Scaler(fleet.scaling)
        self.account = Account(finished=[math.nan] * len(jobs))
        self.now, self.count = 0.0, 0
        self.events: list[tuple[float, int, Callable[..., None], tuple[object, ...]]] = []
        self.work = [work for job in jobs for work in job.work]
        self.job_of = [number for number, job in enumerate(jobs) for _ in job.work]
        self.attempts = [0] * len(self.work)
        self.left = [len(job.work) for job in jobs]
        self.outstanding, self.coming = 0, len(jobs)
        self.ready: deque[int] = deque()
        self.idle: dict[Node, None] = {}  # in the order of waiting
        self.pods: dict[Node, None] = {}  # that were not told to stop
        self.empty: dict[Node, None] = {}
        self.ghosts = 0  # pods on nodes whose loss Kubernetes has not noticed
        self.before = fleet.latency * fleet.reads
        self.after = fleet.latency * fleet.writes

    def run(self) -> Account:
        """Return the account, once all jobs are done and all nodes have ended."""
        first = 0
        for number, job in enumerate(self.jobs):
            self._at(job.at, self._arrive, number, range(first, first + len(job.work)))
            first += len(job.work)
        self._at(0.0, self._look)
        while self.events:
            self.now, _, step, given = heapq.heappop(self.events)
            step(*given)
        return self.account

    def _at(self, when: float, step: Callable[..., None], *given: object) -> None:
        self.count += 1
        heapq.heappush(self.events, (when, self.count, step, given))

    def _arrive(self, job: int, shards: range) -> None:
        self.coming -= 1
        self.outstanding += len(shards)
        self.ready.extend(shards)
        self._hand_out()

    # Scaling

    def _look(self) -> None:
        self.scaler.look(self.now, self.outstanding)
        self._reconcile()
        if self.outstanding or self.coming or self.scaler.wanted:
            self._at(self.now + self.fleet.scaling.polling, self._look)

    def _reconcile(self) -> None:
        """Starts or removes pods, as a ReplicaSet does."""
        surplus = len(self.pods) + self.ghosts - self.scaler.wanted
        for _ in range(-surplus):
            self._start_pod()
        if surplus > 0:
            for node in self._chosen(surplus):
                self.account.stopped += node.phase == "busy"
                self._stop(node)

    def _chosen(self, surplus: int) -> list[Node]:
        """The pods to remove: those that are not ready first, of the others any."""
        starting = [node for node in self.pods if node.phase == "starting"]
        others = (
            list(self.idle)
            if self.fleet.scaling.spares_busy
            else [n for n in self.pods if n.phase != "starting"]
        )
        self.rng.shuffle(others)
        return (starting + others)[:surplus]

    def _start_pod(self) -> None:
        if self.empty:
            node, _ = self.empty.popitem()
            self._enter(node, "starting")
        else:
            node = Node(self.account.nodes, self.now)
            self.account.nodes += 1
            self._plan_loss(node)
        node.turn += 1
        node.stays = True
        self.pods[node] = None
        up = max(self.now, node.born + self.fleet.node_start)
        self._at(up + self.fleet.pod_start + self.fleet.load, self._loaded, node, node.turn)

    def _loaded(self, node: Node, turn: int) -> None:
        if node.turn == turn:
            self.account.loads += 1
            self._enter(node, "idle")
            self.idle[node] = None
            self._hand_out()

    def _stop(self, node: Node) -> None:
        """SIGTERM: a busy worker returns its shard at the end of a batch, or at the end of the grace time."""
        self.pods.pop(node, None)
        node.stays = False
        if node.phase != "busy":
            self._end_pod(node)
            return
        shard, began = node.shard, node.since + self.before
        batches = max(1, math.ceil((self.now - began) / self.fleet.batch))
        returns, ends = began + batches * self.fleet.batch, began + self.work[shard] + self.after
        forced = self.now + self.fleet.times.grace
        if returns < began + self.work[shard]:
            self._at(min(returns, forced), self._give_back, node, node.turn)
        elif ends > forced:
            self._at(forced, self._give_back, node, node.turn)

    def _end_pod(self, node: Node) -> None:
        self.idle.pop(node, None)
        node.turn += 1
        if node.lost_at is not None:
            self._enter(node, "leaving")
            return
        self._enter(node, "empty")
        self.empty[node] = None
        self._at(self.now + self.fleet.node_stays, self._remove, node, node.turn)

    def _remove(self, node: Node, turn: int) -> None:
        if node.turn == turn and node in self.empty:
            del self.empty[node]
            self._end_node(node)

    # Shards

    def _hand_out(self) -> None:
        while self.ready and self.idle:
            node = next(iter(self.idle))
            del self.idle[node]
            self._take(node, self.ready.popleft())

    def _take(self, node: Node, shard: int) -> None:
        self._enter(node, "busy")
        node.shard = shard
        node.turn += 1
        self.attempts[shard] += 1
        self._at(self.now + self.before + self.work[shard] + self.after, self._commit, node, node.turn)

    def _commit(self, node: Node, turn: int) -> None:
        if node.turn != turn:
            return
        self.account.work += self.work[node.shard]
        self.account.storage += self.now - node.since - self.work[node.shard]
        self._finish(node.shard)
        self._leave(node)

    def _give_back(self, node: Node, turn: int) -> None:
        if node.turn != turn:
            return
        self._repeat(node)
        self.attempts[node.shard] -= 1  # does not count
        self._leave(node)
        self._requeue(node.shard)

    def _leave(self, node: Node) -> None:
        """The end of a shard, for its worker."""
        node.phase, node.since = "idle", self.now
        if not node.stays:
            self._end_pod(node)
        elif self.ready:
            self._take(node, self.ready.popleft())
        else:
            node.turn += 1
            self.idle[node] = None

    def _repeat(self, node: Node) -> None:
        self.account.repeated += self.now - node.since
        self.account.repeats += 1

    def _requeue(self, shard: int) -> None:
        self.ready.append(shard)
        self._hand_out()

    def _sweep(self, shard: int) -> None:
        """The sweep that finds a shard without a heartbeat."""
        if self.attempts[shard] < self.fleet.times.attempts:
            self._requeue(shard)
        else:
            self.account.given_up += 1
            self._finish(shard)

    def _finish(self, shard: int) -> None:
        job = self.job_of[shard]
        self.outstanding -= 1
        self.left[job] -= 1
        if not self.left[job]:
            reads = math.ceil(len(self.jobs[job].work) / self.fleet.reducers)
            self.account.finished[job] = self.now + reads * self.fleet.latency

    # Nodes

    def _plan_loss(self, node: Node) -> None:
        if (loss := self.losses.get(node.number)) is not None:
            self._at(loss.at - loss.notice, self._notify, node, loss.notice)
        elif self.fleet.spot_life is not None:
            life = self.rng.expovariate(1 / self.fleet.spot_life)
            self._at(self.now + life, self._notify, node, self.fleet.notice)

    def _notify(self, node: Node, notice: float) -> None:
        """A loss was announced, or comes without notice."""
        if node.phase == "ended":
            return
        node.lost_at = self.now + notice
        if node in self.empty:
            del self.empty[node]
            self._enter(node, "leaving")
        elif notice and node in self.pods:
            self._stop(node)
        self._at(node.lost_at, self._lose, node)
        if notice:
            self._reconcile()

    def _lose(self, node: Node) -> None:
        if node.phase == "ended":
            return
        self.account.losses += 1
        if node.phase == "busy":
            times = self.fleet.times
            self._repeat(node)
            beat = self.now - (self.now - node.since) % times.touch
            found = (math.floor((beat + times.no_life) / times.sweep) + 1) * times.sweep
            self._at(found, self._sweep, node.shard)
            node.since = self.now
        if node in self.pods:
            del self.pods[node]
            self.idle.pop(node, None)
            self.ghosts += 1
            self._at(self.now + self.fleet.unnoticed, self._notice_loss)
        self._end_node(node)

    def _notice_loss(self) -> None:
        self.ghosts -= 1
        self._reconcile()

    def _end_node(self, node: Node) -> None:
        self._enter(node, "ended")
        node.turn += 1
        self.account.paid += self.now - node.born

    def _enter(self, node: Node, phase: str) -> None:
        """Begins a phase, and books the one before; that of a busy worker is booked by its shard's end."""
        seconds = self.now - node.since
        if node.phase == "starting":
            self.account.starting += seconds
        elif node.phase != "busy":
            self.account.idle += seconds
        node.phase, node.since = phase, self.now

"""Workers that cannot start, for example because their model cannot be loaded, with their reasons.

Such a worker ends, and whoever restarts it (Kubernetes, systemd) may do so for ever, while its jobs wait. It
stores its reason in the Redis hash `savs:unstarted:<queue>`, under its host and GPU, where it stays between
two restarts. A worker of the queue that has started removes what others have said: those that still cannot
start say so again.
"""

import json
import os
import re
from collections import defaultdict
from dataclasses import dataclass

from jobs.queue.broker import Broker

REMEMBERED = 1800  # seconds: Kubernetes waits for up to 300 between two restarts, and loading takes its time
SHOWN = 400  # characters of a reason
START = "savs:unstarted:"
LOGIN = re.compile(r"://[^\s/]*@")

# In the reason of a model that cannot be loaded → what to do about it.
ADVICE = {
    r"out of memory|SIGKILL": "use machines with more memory, or a smaller model",
    r"gated|\b40[13]\b|[Uu]nauthori[sz]ed|access to model": "accept the model's licence on its page, and set "
    "HF_TOKEN on the workers; or give them the checkpoint as a folder",
    r"no GPU|CUDA|nvidia": "check the driver with nvidia-smi on that machine, or omit --gpus to use the CPU",
}
USUAL_ADVICE = "mend it there and start the worker again; SAVS_LOG_LEVEL=debug logs the traceback"


@dataclass(frozen=True)
class Cause:
    """A reason why workers cannot start, and these workers, sorted."""

    reason: str
    workers: tuple[str, ...]

    @property
    def text(self) -> str:
        """The cause in one sentence, and what to do about it."""
        many = len(self.workers)
        who = self.workers[0] if many == 1 else f"{many} workers ({self.workers[0]}, …)"
        return f"{who} cannot start: {self.reason}; {_advice(self.reason)}"


def note_failed_start(broker: Broker, queue: str, host: str, gpu: str | None, reason: str) -> None:
    """Stores why the worker of a host, and of a GPU if it has one of several, cannot start."""
    value = json.dumps({"reason": shortened(reason), "at": broker.board(queue).time()})
    if broker.redis.type(START + queue) not in (b"hash", b"none"):  # not written by savs
        broker.redis.delete(START + queue)
    with broker.redis.pipeline() as pipeline:
        pipeline.hset(START + queue, _named(host, gpu), value)
        pipeline.expire(START + queue, REMEMBERED)
        pipeline.execute()


def forget_failed_starts(broker: Broker, queue: str, host: str, gpu: str | None) -> None:
    """Removes what is stored for the queue: its worker of this host and GPU has started. What the workers of
    the host's other GPUs have said stays: nobody restarts one of them while others run."""
    from redis.exceptions import ResponseError

    try:
        names = [_text(name) for name in broker.redis.hkeys(START + queue)]
    except ResponseError:  # not written by savs
        return
    beside = f"{host}, GPU "
    if old := [name for name in names if name == _named(host, gpu) or not name.startswith(beside)]:
        broker.redis.hdel(START + queue, *old)


def failed_starts(broker: Broker, queue: str) -> list[Cause]:
    """The causes that are stored for a queue, and not too old, that of most workers first."""
    from redis.exceptions import ResponseError

    try:
        found = broker.redis.hgetall(START + queue)
    except ResponseError:  # not written by savs
        return []
    if not found:
        return []
    now, workers = broker.board(queue).time(), defaultdict(list)
    for name, value in found.items():
        reason = _fresh_reason(value, now)
        if reason is not None:
            workers[reason].append(_text(name))
    causes = [Cause(reason, tuple(sorted(names))) for reason, names in workers.items()]
    return sorted(causes, key=lambda cause: (-len(cause.workers), cause.reason))


def queues_with_failed_starts(broker: Broker) -> list[str]:
    """The queues whose workers could not start lately."""
    keys = broker.redis.scan_iter(match=f"{START}*", count=1000)
    return sorted(_text(key)[len(START) :] for key in keys)


def shortened(reason: str) -> str:
    """The reason on one line, without passwords in addresses, and without what is too long to show."""
    line = LOGIN.sub("://…@", " ".join(reason.split()))
    return line if len(line) <= SHOWN else line[: SHOWN - 1] + "…"


def gpu_of_this_process() -> str | None:
    """The GPU of a worker that has one of several, by which it differs from the others of its machine."""
    return os.environ.get("SAVS_GPU") or os.environ.get("CUDA_VISIBLE_DEVICES") or None


def _named(host: str, gpu: str | None) -> str:
    return host if gpu is None else f"{host}, GPU {gpu}"


def _advice(reason: str) -> str:
    return next((do for found, do in ADVICE.items() if re.search(found, reason)), USUAL_ADVICE)


def _fresh_reason(value: bytes | str, now: float) -> str | None:
    """The reason of a stored value; None if it is too old, or was not written by savs."""
    try:
        found = json.loads(value)
        reason, at = found["reason"], float(found["at"])
    except (ValueError, KeyError, TypeError, RecursionError, OverflowError):
        return None
    return shortened(reason) if isinstance(reason, str) and abs(now - at) <= REMEMBERED else None


def _text(value: bytes | str) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else value

"""One attempt at a shard, as a worker makes it: claim, show life, run, and leave in good order.

The commit in the ledger decides what counts; the board only keeps two workers from doing the same
work for no reason.
"""

import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from redis.exceptions import RedisError

from jobs.board import Board, Entry
from jobs.broker import CPU_QUEUE, Broker
from jobs.guarding import Roots
from jobs.ledger import Ledger
from jobs.messages import ReduceJob, RunShard
from jobs.planning import Plan
from jobs.shards import give_up, run_shard
from jobs.specs import ClassifySpec, Job
from savs.errors import ArtifactError, Changed, ForbiddenAddress, ModelError, StorageError

if TYPE_CHECKING:
    from savs.models import Model


# What another attempt would meet again. Anything else may be the machine's or the network's fault.
HOPELESS = (ModelError, ArtifactError, Changed, ForbiddenAddress)


@dataclass(frozen=True)
class Times:
    """How patient the pool is. Seconds; `attempts` are runs of a shard before it is given up."""

    touch: float = 10.0
    no_life: float = 120.0
    sweep: float = 30.0
    attempts: int = 3


class Leave(Exception):
    """Raised between batches to leave a shard that need not be finished here; not an error."""


class GiveBack(Leave):
    """This worker is stopping; the shard is for another."""


class Superseded(Leave):
    """The shard is another worker's by now."""


class Cancelled(Leave):
    """The job was cancelled."""


def attempt_shard(
    ledger: Ledger,
    broker: Broker,
    queue: str,
    message: RunShard,
    model: "Model",
    times: Times,
    stopping: Callable[[], bool],
    roots: Roots | None = None,
) -> str:
    """Runs the message's shard if it is this worker's to run; one word for what came of it:
    "stale", "done", "given back", "superseded", "cancelled", "again" or "given up".
    """
    board = broker.board(queue)
    job, shard = ledger.job(message.job_id), message.shard
    if ledger.is_cancelled(job.job_id):
        board.finish(job.job_id, message.unit)
        return "cancelled"
    attempt = board.claim(job.job_id, message.unit, message.epoch)
    if attempt is None:
        if ledger.outcome(job.job_id, shard.number) is not None:
            return "stale"
        attempt = int(board.adopt(job.job_id, message.unit, message.epoch))
    if not attempt:
        return "stale"

    life = SignsOfLife(ledger, board, message, times.touch)

    def between_batches(rows: int) -> None:
        if stopping():
            raise GiveBack
        if life.cancelled.is_set():
            raise Cancelled
        entry = None
        with suppress(RedisError):  # the commit decides; a blip is no reason to lose work
            entry = board.entry(job.job_id, message.unit)
        if entry is not None and entry.epoch != message.epoch and entry.state == "running":
            raise Superseded

    seen = Entry(job.job_id, message.unit, "running", message.epoch, attempt, message.at)
    try:
        with life:
            run_shard(ledger, job, shard, model, between_batches, roots)
    except GiveBack:
        again(ledger, broker, queue, job, seen, refund=True)
        return "given back"
    except Superseded:
        return "superseded"
    except Cancelled:
        board.finish(job.job_id, message.unit)
        return "cancelled"
    except Exception as error:
        if not isinstance(error, HOPELESS) and attempt < times.attempts:
            again(ledger, broker, queue, job, seen)
            return "again"
        give_up(ledger, job, shard, f"{type(error).__name__}: {error}")
        finish_shard(ledger, broker, board, job, message.unit)
        return "given up"
    finish_shard(ledger, broker, board, job, message.unit)
    return "done"


def finish_shard(ledger: Ledger, broker: Broker, board: Board, job: Job, unit: str) -> None:
    """Takes a shard with an outcome off the board; after the last one, asks for the reduction."""
    board.finish(job.job_id, unit)
    if len(board) == 0 and len(ledger.committed(job.job_id)) == len(ledger.plan(job.job_id).shards):
        ask_to_reduce(broker, job)


def ask_to_reduce(broker: Broker, job: Job) -> None:
    """Enqueues the job's reduction, unless it is enqueued."""
    for _, at in broker.board(CPU_QUEUE).enqueue(job.job_id, ["reduce"]):
        broker.publish(CPU_QUEUE, [ReduceJob(job_id=job.job_id, at=at)])


def again(ledger: Ledger, broker: Broker, queue: str, job: Job, seen: Entry, refund: bool = False) -> bool:
    """Puts a unit back on the board and its message on the queue, if it is still as `seen`."""
    answer = broker.board(queue).requeue(seen, refund)
    if answer is None:
        return False
    epoch, at = answer
    if seen.unit == "reduce":
        broker.publish(queue, [ReduceJob(job_id=job.job_id, epoch=epoch, at=at)])
    else:
        broker.publish(queue, [shard_message(job, ledger.plan(job.job_id), int(seen.unit), epoch, at)])
    return True


def shard_message(job: Job, plan: Plan, number: int, epoch: int, at: float) -> RunShard:
    """The message for one shard of `job`."""
    return RunShard(
        task="classify_shard" if isinstance(job.spec, ClassifySpec) else "extract_savs",
        job_id=job.job_id,
        shard=plan.shards[number],
        epoch=epoch,
        at=at,
    )


class SignsOfLife:
    """Touches the board from a thread, since a long batch is no reason to be taken for dead, and
    looks whether the job was cancelled."""

    def __init__(self, ledger: Ledger, board: Board, message: RunShard, every: float) -> None:
        self.ledger, self.board, self.message, self.every = ledger, board, message, every
        self.over, self.cancelled = threading.Event(), threading.Event()
        self.thread = threading.Thread(target=self._touch, name="signs of life", daemon=True)

    def __enter__(self) -> "SignsOfLife":
        self.thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.over.set()
        self.thread.join()

    def _touch(self) -> None:
        while not self.over.wait(self.every):
            try:
                self.board.touch(self.message.job_id, self.message.unit, self.message.epoch)
                if self.ledger.is_cancelled(self.message.job_id):
                    self.cancelled.set()
            except (RedisError, StorageError):
                continue  # it may come back before anybody misses the sign

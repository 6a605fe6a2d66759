"""One attempt at a unit of work, as a worker makes it: claim, show life, run, and leave in good order.

The commit in the ledger decides what counts; the board only keeps two workers from doing the same
work for no reason.
"""

import logging
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from redis.exceptions import RedisError

from jobs.board import Board, Entry
from jobs.braking import brake
from jobs.broker import CPU_QUEUE, Broker
from jobs.guarding import Roots
from jobs.ledger import Ledger
from jobs.messages import PlanJob, ReduceJob, RunShard
from jobs.outcomes import Outcome
from jobs.planning import Shard
from jobs.retries import Planned
from jobs.shards import give_up, run_shard
from jobs.specs import ClassifySpec, Job
from savs.errors import ArtifactError, Changed, ForbiddenAddress, ModelError, StorageError

if TYPE_CHECKING:
    from savs.models import Model


# What another attempt would meet again. Anything else may be the machine's or the network's fault.
HOPELESS = (ModelError, ArtifactError, Changed, ForbiddenAddress)

log = logging.getLogger("savs.attempts")


@dataclass(frozen=True)
class Times:
    """How patient the pool is. Seconds; `attempts` are runs of a unit before it is given up."""

    touch: float = 10.0
    no_life: float = 120.0
    sweep: float = 30.0
    attempts: int = 3


@dataclass(frozen=True)
class Attempt:
    """What came of a message.

    word     "stale", "done", "given back", "superseded", "cancelled", "again" or "given up"
    number   of the attempt, from 1; 0 where none was made
    outcome  the shard's, where this attempt ended it
    """

    word: str
    number: int = 0
    outcome: Outcome | None = None


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
) -> Attempt:
    """Runs the message's shard if it is this worker's to run."""
    board = broker.board(queue)
    job, shard = ledger.job(message.job_id), message.shard
    if ledger.is_cancelled(job.job_id):
        board.finish(job.job_id, message.unit)
        return Attempt("cancelled")
    number = board.claim(job.job_id, message.unit, message.epoch)
    if number is None:
        if ledger.outcome(job.job_id, shard.number) is not None:
            return Attempt("stale")
        number = int(board.adopt(job.job_id, message.unit, message.epoch))
    if not number:
        return Attempt("stale")

    seen = Entry(job.job_id, message.unit, "running", message.epoch, number, message.at)
    life = SignsOfLife(ledger, board, seen, times.touch)

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

    try:
        with life:
            outcome = run_shard(ledger, job, shard, model, between_batches, roots)
    except GiveBack:
        again(ledger, broker, queue, job, seen, refund=True)
        return Attempt("given back", number)
    except Superseded:
        return Attempt("superseded", number)
    except Cancelled:
        board.finish(job.job_id, message.unit)
        return Attempt("cancelled", number)
    except Exception as error:
        if not isinstance(error, HOPELESS) and number < times.attempts:
            log.warning("shard failed, and is run again: %s: %s", type(error).__name__, error)
            again(ledger, broker, queue, job, seen)
            return Attempt("again", number)
        outcome = give_up(ledger, job, shard, f"{type(error).__name__}: {error}")
        finish_shard(ledger, broker, queue, job, shard)
        return Attempt("given up", number, outcome)
    finish_shard(ledger, broker, queue, job, shard)
    return Attempt("done", number, outcome)


def finish_shard(ledger: Ledger, broker: Broker, queue: str, job: Job, shard: Shard) -> None:
    """Takes a shard with an outcome off the board; after the job's last one, asks for the reduction.

    Stops the job if its first rows have failed at too high a rate.
    """
    board = broker.board(queue)
    left = board.finish(job.job_id, str(shard.number))
    if brake(ledger, job, shard):
        board.forget(job.job_id)
        ledger.deactivate(job.job_id)
    elif not left and len(ledger.committed(job.job_id)) == len(ledger.planned(job.job_id)):
        ask_to_reduce(broker, job)


def ask_to_plan(broker: Broker, job: Job) -> None:
    """Enqueues the planning of a job, unless it is enqueued."""
    lane = broker.free_lane(CPU_QUEUE)
    for _, at in broker.board(CPU_QUEUE).enqueue(job.job_id, ["plan"], lane):
        broker.publish(CPU_QUEUE, lane, [PlanJob(job_id=job.job_id, at=at)])


def ask_to_reduce(broker: Broker, job: Job) -> None:
    """Enqueues the job's reduction, unless it is enqueued."""
    lane = broker.free_lane(CPU_QUEUE)
    for _, at in broker.board(CPU_QUEUE).enqueue(job.job_id, ["reduce"], lane):
        broker.publish(CPU_QUEUE, lane, [ReduceJob(job_id=job.job_id, at=at)])


def again(ledger: Ledger, broker: Broker, queue: str, job: Job, seen: Entry, refund: bool = False) -> bool:
    """Puts a unit back on the board and its message on the queue, if it is still as `seen`."""
    answer = broker.board(queue).requeue(seen, refund)
    if answer is None:
        return False
    epoch, at, lane = answer
    message: RunShard | PlanJob | ReduceJob
    if seen.unit == "plan":
        message = PlanJob(job_id=job.job_id, epoch=epoch, at=at)
    elif seen.unit == "reduce":
        message = ReduceJob(job_id=job.job_id, epoch=epoch, at=at)
    else:
        message = shard_message(job, ledger.planned(job.job_id), int(seen.unit), epoch, at)
    broker.publish(queue, lane, [message])
    return True


def shard_message(job: Job, planned: Planned, number: int, epoch: int, at: float) -> RunShard:
    """The message for one shard of `job`."""
    return RunShard(
        task="classify_shard" if isinstance(job.spec, ClassifySpec) else "extract_savs",
        job_id=job.job_id,
        shard=planned.shard(number),
        epoch=epoch,
        at=at,
    )


class SignsOfLife:
    """Touches the board from a thread, since a long batch is no reason to be taken for dead, and
    looks whether the job was cancelled."""

    def __init__(self, ledger: Ledger, board: Board, unit: Entry, every: float) -> None:
        self.ledger, self.board, self.unit, self.every = ledger, board, unit, every
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
                self.board.touch(self.unit.job_id, self.unit.unit, self.unit.epoch)
                if self.ledger.is_cancelled(self.unit.job_id):
                    self.cancelled.set()
            except (RedisError, StorageError):
                continue  # it may come back before anybody misses the sign

"""One attempt of a worker at a shard: claim, heartbeat, run, then finish or return the shard.

The commit in the ledger decides the outcome; the board only keeps two workers from doing the same work.
"""

import logging
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from redis.exceptions import RedisError

from jobs.ledger.ledger import Ledger
from jobs.ledger.plans import Plans
from jobs.queue.board import BoardEntry
from jobs.queue.broker import Broker
from jobs.queue.publisher import ask_to_reduce, put_back
from jobs.queue.refusals import OTHERS_MAY, Refusals
from jobs.queue.timeouts import Timeouts
from jobs.records.job import Job
from jobs.records.message import RunShard
from jobs.records.outcome import Outcome
from jobs.records.plan import Shard
from jobs.reduce.brake import apply_brake
from jobs.reduce.status import is_due
from jobs.run.heartbeat import Heartbeat
from jobs.run.notify import notify_end
from jobs.shards.allowed_roots import Roots
from jobs.shards.shard import give_up, run_shard
from savs.errors import Changed, JobNotFound

if TYPE_CHECKING:
    from savs.model.model import Model

log = logging.getLogger("savs.attempts")


@dataclass(frozen=True)
class Worker:
    """The context of a worker process.

    plans     of the jobs that it runs
    queue     the queue that it takes messages from
    refusals  the jobs that it cannot run
    roots     the roots that it may read below; None for no limit
    stopping  returns True if the worker should return its unit to the queue
    claimed   called with the number of the attempt, once a unit is claimed
    """

    ledger: Ledger
    plans: Plans
    broker: Broker
    queue: str
    refusals: Refusals
    times: Timeouts
    roots: Roots | None = None
    stopping: Callable[[], bool] = lambda: False
    claimed: Callable[[int], None] = lambda number: None


@dataclass(frozen=True)
class Attempt:
    """The result of a message.

    word      "stale", "done", "given back", "superseded", "cancelled", "again", "refused" or "given up"
    number    number of the attempt, from 1; 0 if none was made
    outcomes  the shard's outcome, if this attempt ended it, then those of its companions' shards
    """

    word: str
    number: int = 0
    outcomes: tuple[Outcome, ...] = ()


class Leave(Exception):
    """Raised between batches to leave a shard that this worker should not finish; not an error."""


class GiveBack(Leave):
    """This worker is stopping and returns the shard to the queue."""


class Superseded(Leave):
    """Another worker has claimed the shard in the meantime."""


class Cancelled(Leave):
    """The job was cancelled."""


def attempt_shard(worker: Worker, message: RunShard, model: "Model") -> Attempt:
    """Runs the message's shard, if the ledger says that it is to be run, and this worker can claim it."""
    ledger, times = worker.ledger, worker.times
    board = worker.broker.board(worker.queue)
    job = ledger.job(message.job_id)
    if ledger.is_cancelled(job.job_id):
        board.finish(job.job_id, message.unit)
        return Attempt("cancelled")
    # Anybody who can write to Redis may have sent the message.
    shard = worker.plans.shard(job.job_id, message.shard) if is_wanted(ledger, job) else None
    if shard is None:
        board.finish(job.job_id, message.unit)
        return Attempt("stale")
    number = board.claim(job.job_id, message.unit, message.epoch)
    if number is None:
        if ledger.outcome(job.job_id, message.shard) is not None:
            return Attempt("stale")
        number = int(board.adopt(job.job_id, message.unit, message.epoch))
    if not number:
        return Attempt("stale")
    worker.claimed(number)
    if (reason := worker.refusals.reason(job.job_id)) is not None:
        return _refuse(worker, message, job, shard, number, reason)
    try:
        outcomes = _run(worker, message, job, shard, number, model)
    except GiveBack:
        put_back(worker.broker, worker.queue, message, refund=True)
        return Attempt("given back", number)
    except Superseded:
        return Attempt("superseded", number)
    except (Cancelled, JobNotFound):  # cancelled, or deleted
        board.finish(job.job_id, message.unit)
        return Attempt("cancelled", number)
    except OTHERS_MAY as error:
        return _refuse(worker, message, job, shard, number, f"{type(error).__name__}: {error}")
    except Exception as error:
        if not isinstance(error, Changed) and number < times.attempts:
            log.warning("shard failed, will be retried: %s: %s", type(error).__name__, error)
            put_back(worker.broker, worker.queue, message)
            return Attempt("again", number)
        return _give_up(worker, job, shard, number, f"{type(error).__name__}: {error}")
    finish_shard(ledger, worker.broker, worker.queue, job, shard)
    worker.refusals.take_back(job.job_id)
    return Attempt("done", number, outcomes)


def is_wanted(ledger: Ledger, job: Job) -> bool:
    """Return whether a pool is to run the job's shards now: it was handed the job, and the job neither has
    ended nor waits for another."""
    return ledger.is_active(job.job_id) and ledger.summary(job.job_id) is None and is_due(ledger, job)


def _run(
    worker: Worker, message: RunShard, job: Job, shard: Shard, number: int, model: "Model"
) -> tuple[Outcome, ...]:
    """Runs the shard with `run_shard` and a heartbeat. Raises Leave, and the errors of `run_shard`."""
    board = worker.broker.board(worker.queue)
    unit = BoardEntry(job.job_id, message.unit, "running", message.epoch, number, message.at)
    life = Heartbeat(worker.ledger, board, unit, worker.times.touch)

    def between_batches(rows: int) -> None:
        if worker.stopping():
            raise GiveBack
        if life.cancelled.is_set():
            raise Cancelled
        entry = None
        with suppress(RedisError):  # the commit decides, so a short failure need not stop the work
            entry = board.entry(job.job_id, message.unit)
        if entry is not None and entry.epoch != message.epoch and entry.state == "running":
            raise Superseded

    with life:
        return run_shard(worker.ledger, job, shard, model, between_batches, worker.roots)


def _refuse(worker: Worker, message: RunShard, job: Job, shard: Shard, number: int, reason: str) -> Attempt:
    """Leaves the shard to other workers, or gives it up if all of them refuse the job."""
    reasons = worker.refusals.refuse(job.job_id, reason, worker.times.no_life)
    if reasons is not None:
        return _give_up(worker, job, shard, number, reasons)
    put_back(worker.broker, worker.queue, message, refund=True)
    return Attempt("refused", number)


def _give_up(worker: Worker, job: Job, shard: Shard, number: int, reason: str) -> Attempt:
    outcome = give_up(worker.ledger, job, shard, reason)
    finish_shard(worker.ledger, worker.broker, worker.queue, job, shard)
    return Attempt("given up", number, (outcome,))


def finish_shard(ledger: Ledger, broker: Broker, queue: str, job: Job, shard: Shard) -> None:
    """Removes a shard with an outcome from the board; after the job's last one, enqueues the reduction.

    Stops the job, or a companion, if too many of its first rows have failed.
    """
    board = broker.board(queue)
    left = board.finish(job.job_id, str(shard.number))
    if shard.retry is None:
        for companion in job.companions:  # whose shards are not on the board yet
            if ledger.is_there(companion) and apply_brake(ledger, ledger.job(companion), shard):
                ledger.deactivate(companion)
                notify_end(ledger, ledger.job(companion))
    if apply_brake(ledger, job, shard):
        board.forget(job.job_id)
        ledger.deactivate(job.job_id)
        notify_end(ledger, job)
    elif not left and len(ledger.committed(job.job_id)) == len(ledger.planned(job.job_id)):
        ask_to_reduce(broker, job)

"""The sweep: requeues lost units of a pool's jobs, and enqueues shards and reductions that are due.

Run every half minute by one cpu worker, and by `savs-submit watch` and `resume`. Every step may be
repeated, also by two processes at once: the board compares before it sets, and the ledger decides.
The sweep handles only jobs that were handed to a pool (`Ledger.active`).
"""

import logging
from collections import defaultdict
from contextlib import suppress

from redis.exceptions import RedisError, ResponseError

from jobs.ledger.ledger import Ledger
from jobs.queue.board import BoardEntry
from jobs.queue.broker import Broker
from jobs.queue.enqueue import SENTINEL, enqueue_job
from jobs.queue.publisher import Sent, ask_to_plan, ask_to_reduce, requeued
from jobs.queue.repair import repaired_entries
from jobs.queue.timeouts import Timeouts
from jobs.records.job import Job
from jobs.records.message import CPU_QUEUE, gpu_queue
from jobs.reduce.reducer import fail_job
from jobs.reduce.status import is_due
from jobs.run.attempt import finish_shard
from jobs.run.notify import notify_end
from jobs.shards.shard import give_up
from savs.errors import JobNotFound, LedgerError, StorageError

FUTURE = 60.0  # seconds by which an entry may be ahead of Redis's clock, which may have been set
UNDERWAY = 1.0  # seconds that a message may be in transit: from board to queue, or from queue to worker

UNUSABLE = (JobNotFound, LedgerError, StorageError)  # a job that cannot be read, or is deleted

log = logging.getLogger("savs.sweeper")


def sweep(ledger: Ledger, broker: Broker, times: Timeouts, *, at_once: bool = False) -> None:
    """Sweeps all active jobs once.

    at_once  requeue queued units whose message is gone now, not after the no-life limit: for a user who
             resumes a job; at worst it publishes one message too many
    """
    jobs = _unfinished(ledger)
    emptied = not broker.redis.exists(SENTINEL)
    no_message = min(UNDERWAY, times.no_life) if at_once else times.no_life
    for queue in {CPU_QUEUE, *(gpu_queue(job.spec.model) for job in jobs.values())}:
        emptied |= _put_back(ledger, broker, queue, jobs, times, no_message)
    for job in jobs.values():
        try:
            _see_to(ledger, broker, job, emptied)
        except UNUSABLE as error:  # one damaged job must not stop the sweep of the others
            log.warning("job %s: %s", job.job_id, error)
    if emptied:
        broker.redis.set(SENTINEL, 1)


def _unfinished(ledger: Ledger) -> dict[str, Job]:
    jobs = {}
    for job_id in ledger.active():
        try:
            if ledger.summary(job_id) is None:
                if not ledger.is_cancelled(job_id):
                    jobs[job_id] = ledger.job(job_id)
            else:
                ledger.end(job_id)
        except JobNotFound:
            continue  # the job is being submitted, or was deleted
        except UNUSABLE as error:
            log.warning("job %s: %s", job_id, error)
    return jobs


def _see_to(ledger: Ledger, broker: Broker, job: Job, emptied: bool) -> None:
    """Enqueues the job's planning, shards or reduction, if they are missing on the board."""
    if not ledger.is_planned(job.job_id):
        ask_to_plan(broker, job)
        return
    if not is_due(ledger, job) or (broker.board(gpu_queue(job.spec.model)).left(job.job_id) and not emptied):
        return
    if len(ledger.committed(job.job_id)) == len(ledger.planned(job.job_id)):
        ask_to_reduce(broker, job)
    else:
        enqueue_job(ledger, broker, job)


def _put_back(
    ledger: Ledger, broker: Broker, queue: str, jobs: dict[str, Job], times: Timeouts, no_message: float
) -> bool:
    """Requeues lost units, and gives up those that were lost too often. Returns whether the board had to be
    repaired: then units may be missing on it."""
    board = broker.board(queue)
    entries, was_repaired = repaired_entries(broker, queue)
    now, oldest = board.time(), broker.oldest(queue)
    lost = [e for e in entries if _is_lost(e, now, oldest[e.lane], times.no_life, no_message)]
    active = set(ledger.active()) if lost else set()
    messages: defaultdict[int, list[Sent]] = defaultdict(list)
    for entry in lost:
        job = jobs.get(entry.job_id)
        try:
            if job is None:
                if entry.job_id not in active:  # its worker was lost between outcome and board
                    board.finish(entry.job_id, entry.unit)
            elif entry.attempts >= times.attempts or entry.why is not None:
                _give_up(ledger, broker, queue, job, entry)
            elif (answer := requeued(broker, queue, job, entry)) is not None:
                messages[answer[0]].append(answer[1])
        except UNUSABLE as error:  # one damaged job must not stop the sweep of the others
            log.warning("job %s: %s", entry.job_id, error)
        except ResponseError as error:  # a field that this process can read, and Redis's Lua cannot
            board.finish(entry.job_id, entry.unit)
            log.warning("removed unit %s of job %s from the board: %s", entry.unit, entry.job_id, error)
            was_repaired = True
    for lane, some in messages.items():
        broker.publish(queue, lane, some)
    return was_repaired


def _give_up(ledger: Ledger, broker: Broker, queue: str, job: Job, entry: BoardEntry) -> None:
    reason = f"attempt {entry.attempts} of {entry.attempts}: {entry.why or 'no heartbeat'}"
    if entry.unit in ("plan", "reduce"):
        fail_job(ledger, job, f"{entry.unit}: {reason}")
        broker.board(queue).finish(job.job_id, entry.unit)
        notify_end(ledger, job)
        return
    planned, number = ledger.planned(job.job_id), int(entry.unit)
    if number >= len(planned):  # not written by savs
        broker.board(queue).finish(job.job_id, entry.unit)
        return
    give_up(ledger, job, planned.shard(number), reason)
    finish_shard(ledger, broker, queue, job, planned.shard(number))
    with suppress(RedisError):  # only for an alert
        broker.count_given_up()


def _is_lost(entry: BoardEntry, now: float, oldest: float | None, no_life: float, no_message: float) -> bool:
    """True if the unit has been running without a heartbeat for `no_life` seconds, or queued without a
    message for `no_message` seconds. Its message is gone if the next one in its lane is younger."""
    if entry.at > now + FUTURE:
        return True
    if entry.state == "running":
        return entry.at + no_life < now
    return entry.at + no_message < (now if oldest is None else oldest)

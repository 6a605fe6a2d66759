"""The sweep: requeues lost units of a pool's jobs, and enqueues shards and reductions that are due.

Run every half minute by one cpu worker, and by `savs-submit watch` and `resume`. Every step may be
repeated, also by two processes at once: the board compares before it sets, and the ledger decides.
The sweep handles only jobs that were handed to a pool (`Ledger.active`).
"""

import logging

from jobs.ledger.ledger import Ledger
from jobs.queue.board import BoardEntry
from jobs.queue.broker import Broker
from jobs.queue.enqueue import SENTINEL, enqueue_job
from jobs.queue.publisher import ask_to_plan, ask_to_reduce, requeue
from jobs.queue.timeouts import Timeouts
from jobs.records.job import Job
from jobs.records.message import CPU_QUEUE, gpu_queue
from jobs.reduce.reducer import fail_job
from jobs.reduce.status import is_due
from jobs.run.attempt import finish_shard
from jobs.shards.shard import give_up
from savs.errors import JobNotFound, LedgerError, StorageError

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
        _put_back(ledger, broker, queue, jobs, times, no_message)
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
                ledger.deactivate(job_id)
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
) -> None:
    board = broker.board(queue)
    now = board.time()
    oldest = broker.oldest(queue)
    for entry in list(board.entries()):
        if not _is_lost(entry, now, oldest[entry.lane], times.no_life, no_message):
            continue
        job = jobs.get(entry.job_id)
        try:
            if job is not None:
                _put_one_back(ledger, broker, queue, job, entry, times)
            elif entry.job_id not in set(ledger.active()):  # its worker was lost between outcome and board
                board.finish(entry.job_id, entry.unit)
        except UNUSABLE as error:  # one damaged job must not stop the sweep of the others
            log.warning("job %s: %s", entry.job_id, error)


def _put_one_back(
    ledger: Ledger, broker: Broker, queue: str, job: Job, entry: BoardEntry, times: Timeouts
) -> None:
    if entry.attempts < times.attempts and entry.why is None:
        requeue(ledger, broker, queue, job, entry)
        return
    reason = f"attempt {entry.attempts} of {entry.attempts}: {entry.why or 'no heartbeat'}"
    if entry.unit in ("plan", "reduce"):
        fail_job(ledger, job, f"{entry.unit}: {reason}")
        broker.board(queue).finish(job.job_id, entry.unit)
    else:
        shard = ledger.planned(job.job_id).shard(int(entry.unit))
        give_up(ledger, job, shard, reason)
        finish_shard(ledger, broker, queue, job, shard)


def _is_lost(entry: BoardEntry, now: float, oldest: float | None, no_life: float, no_message: float) -> bool:
    """True if the unit has been running without a heartbeat for `no_life` seconds, or queued without a
    message for `no_message` seconds. Its message is gone if the next one in its lane is younger."""
    if entry.state == "running":
        return entry.at + no_life < now
    return entry.at + no_message < (now if oldest is None else oldest)

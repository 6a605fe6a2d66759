"""Whether a pool has, or may still get, work for a worker: if not, the worker may end."""

from jobs.ledger.ledger import Ledger
from jobs.queue.broker import Broker
from jobs.records.job import Job
from jobs.records.message import CPU_QUEUE, gpu_queue
from jobs.reduce.status import waits_in_vain
from savs.errors import JobNotFound, LedgerError


def is_wanted_now(broker: Broker, queue: str) -> bool:
    """Whether a unit of `queue` is outstanding, running ones included; for the cpu queue, one of any queue,
    since its job will have to be reduced."""
    if queue != CPU_QUEUE:
        return len(broker.board(queue)) > 0
    return any(True for _ in broker.redis.scan_iter(match="savs:outstanding:*", count=1000))


def is_wanted_later(ledger: Ledger, queue: str) -> bool:
    """Whether an active job may still bring work for `queue`: one that has not ended, was not cancelled, and
    does not wait for a job that ended without success. Once all its shards have ended, a job is no longer
    work for a gpu worker."""
    for job_id in ledger.active():
        try:
            if _may_go_on(ledger, job := ledger.job(job_id)) and (
                queue == CPU_QUEUE or (gpu_queue(job.spec.model) == queue and _has_open_shards(ledger, job))
            ):
                return True
        except (JobNotFound, LedgerError):  # deleted, or unusable for workers, too
            continue
    return False


def _may_go_on(ledger: Ledger, job: Job) -> bool:
    ended = ledger.summary(job.job_id) is not None or ledger.is_cancelled(job.job_id)
    return not ended and not waits_in_vain(ledger, job)


def _has_open_shards(ledger: Ledger, job: Job) -> bool:
    planned = ledger.planned(job.job_id) if ledger.is_planned(job.job_id) else None
    return planned is None or len(ledger.committed(job.job_id)) < len(planned)

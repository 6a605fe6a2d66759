"""Why no worker runs a job of a pool: none of its model can start, or all that run refuse it."""

from collections.abc import Iterator
from dataclasses import dataclass

from jobs.ledger.ledger import Ledger
from jobs.queue.broker import Broker
from jobs.queue.failed_starts import failed_starts
from jobs.queue.refusals import refused
from jobs.records.job import Job
from jobs.records.message import CPU_QUEUE, gpu_queue


@dataclass(frozen=True)
class Hindrance:
    """Something that keeps workers from a job.

    what     the same for all workers that have the same
    workers  how many these are
    text     a sentence for the user, with the number of workers
    total    whether no worker runs the job because of it
    """

    what: str
    workers: int
    text: str
    total: bool


def hindrances(ledger: Ledger, broker: Broker, job: Job) -> Iterator[Hindrance]:
    """What keeps workers from a job that has not ended."""
    planned = ledger.is_planned(job.job_id)
    queue = gpu_queue(job.spec.model) if planned else CPU_QUEUE
    alive = broker.alive(queue)
    for cause in failed_starts(broker, queue):
        whose = f"model {job.spec.model}" if planned else "cpu worker"
        text = f"{whose}: {cause.text}"
        yield Hindrance(f"{whose}: {cause.reason}", len(cause.workers), text, not alive)
    reasons = refused(broker, queue, job.job_id)
    if alive and reasons.keys() >= alive:
        for reason in dict.fromkeys(reasons.values()):
            count = sum(one == reason for one in reasons.values())
            who = f"all {len(alive)} workers refuse"
            if len(alive) == 1:
                who = f"the only worker, {min(alive)}, refuses"
            some = f" ({count} of them)" if count < len(alive) else ""
            text = f"{who} {job.job_id}{some}: {reason}; after a while its shards are given up"
            yield Hindrance(f"{job.job_id} refused: {reason}", count, text, True)


def why_it_waits(ledger: Ledger, broker: Broker, job: Job) -> str | None:
    """Why no worker runs a job that has not ended, in one sentence; None if nothing is known against it."""
    return "; ".join(one.text for one in hindrances(ledger, broker, job) if one.total) or None

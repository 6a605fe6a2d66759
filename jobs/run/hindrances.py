"""Why no worker runs a job of a pool: none is running, none of its model can start, or all refuse it."""

from collections.abc import Iterator
from dataclasses import dataclass
from shlex import quote

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
    workers  how many these are; 0 if no worker is running
    text     a sentence for the user, with the number of workers
    total    whether no worker runs the job because of it
    """

    what: str
    workers: int
    text: str
    total: bool


def hindrances(ledger: Ledger, broker: Broker, job: Job) -> Iterator[Hindrance]:
    """What keeps workers from a job that has not ended."""
    queue = _queue_of(ledger, broker, job)
    whose = "cpu worker" if queue == CPU_QUEUE else f"model {job.spec.model}"
    alive, causes = broker.alive(queue), failed_starts(broker, queue)
    for cause in causes:
        text = f"{whose}: {cause.text}"
        yield Hindrance(f"{whose}: {cause.reason}", len(cause.workers), text, not alive)
    if not alive and not causes and broker.board(queue).left(job.job_id):
        yield Hindrance(f"{whose}: none is running", 0, _start_one(queue, job), True)
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


def _queue_of(ledger: Ledger, broker: Broker, job: Job) -> str:
    """The queue that the job's next units are on: its model's, unless it is to be planned or reduced."""
    if not ledger.is_planned(job.job_id) or broker.board(CPU_QUEUE).left(job.job_id):
        return CPU_QUEUE
    return gpu_queue(job.spec.model)


def _start_one(queue: str, job: Job) -> str:
    if queue == CPU_QUEUE:
        return "no cpu worker is running; start one: savs-worker cpu"
    model = job.spec.model
    return f"no worker is running for model {model}; start one: savs-worker gpu --model {quote(model)}"

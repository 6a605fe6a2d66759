"""Hands jobs to a pool: marks them for the sweeper, and puts their shards on the board and the queue."""

from collections.abc import Iterator

from jobs.ledger.ledger import Ledger
from jobs.queue.broker import Broker, why_unusable
from jobs.queue.publisher import ask_to_plan, ask_to_reduce, shard_message
from jobs.records.job import Job
from jobs.records.message import CPU_QUEUE, RunShard, gpu_queue
from jobs.reduce.status import is_due
from savs.errors import BrokerError

SENTINEL = "savs:board"  # a key that exists unless Redis was emptied


def enqueue_due(ledger: Ledger, broker: Broker, jobs: list[Job]) -> dict[str, int]:
    """Hands those of `jobs` that have not ended to the pool. Returns the number of newly enqueued shards
    per job id, for jobs that do not wait for another; 0 if a worker has to plan the job first.

    Raises BrokerError if Redis does not answer; calling it again is safe.
    """
    from redis.exceptions import RedisError

    unfinished = [job for job in jobs if ledger.summary(job.job_id) is None]
    counts = {}
    try:
        broker.redis.ping()  # before anything is marked
        for job in unfinished:
            ledger.activate(job.job_id)
        for job in unfinished:
            if not ledger.is_planned(job.job_id):
                ask_to_plan(broker, job)
                counts[job.job_id] = 0
            elif is_due(ledger, job):
                counts[job.job_id] = enqueue_job(ledger, broker, job)
    except RedisError as error:
        raise BrokerError(f"{why_unusable(broker.url, error)}; submitting again is safe") from error
    return counts


def enqueue_job(ledger: Ledger, broker: Broker, job: Job) -> int:
    """Puts every shard without an outcome on the board and its message on the queue, once.

    If there are no such shards, enqueues the reduction. Returns the number of shards enqueued; 0 if the
    job is cancelled in the meantime, since its shards are then removed.
    """
    queue = gpu_queue(job.spec.model)
    planned, committed = ledger.planned(job.job_id), ledger.committed(job.job_id)
    missing = (n for n in range(len(planned)) if n not in committed)
    lane = broker.free_lane(queue)
    count = 0

    def messages() -> Iterator[RunShard]:
        nonlocal count
        for unit, at in broker.board(queue).enqueue(job.job_id, map(str, missing), lane):
            count += 1
            yield shard_message(job, int(unit), 1, at)

    broker.publish(queue, lane, messages())
    broker.redis.set(SENTINEL, 1)
    if len(committed) == len(planned):
        ask_to_reduce(broker, job)
    if ledger.is_cancelled(job.job_id):  # a later cancellation finds all these shards and removes them
        remove_from_queue(broker, job)
        return 0
    return count


def cancel_job(ledger: Ledger, broker: Broker | None, job: Job) -> None:
    """Stops a job: no more of its shards start, and running shards stop between batches.

    Finished shards stay; `resume` continues with the rest. Without `broker` only the ledger is marked,
    which is enough: workers drop the job's messages when they take them.
    """
    ledger.cancel(job.job_id)
    ledger.deactivate(job.job_id)
    if broker is not None:
        remove_from_queue(broker, job)


def remove_from_queue(broker: Broker, job: Job) -> None:
    """Removes a job from the boards."""
    broker.board(gpu_queue(job.spec.model)).forget(job.job_id)
    broker.board(CPU_QUEUE).forget(job.job_id)

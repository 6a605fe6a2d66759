"""Hands jobs to a pool: marks them for its sweeper, and puts their shards on the board and the queue."""

from collections.abc import Iterator

from jobs.ledger.ledger import Ledger
from jobs.queue.broker import Broker, without_password
from jobs.queue.publisher import ask_to_plan, ask_to_reduce, shard_message
from jobs.records.job import Job
from jobs.records.message import CPU_QUEUE, RunShard, gpu_queue
from jobs.reduce.status import is_due
from savs.errors import BrokerError

SENTINEL = "savs:board"  # is there unless Redis was emptied


def enqueue_due(ledger: Ledger, broker: Broker, jobs: list[Job]) -> dict[str, int]:
    """Hands those of `jobs` that are not done to the pool: job id → new shards, of those that wait
    for nothing; 0 where a worker is to plan them first.

    Raises BrokerError where Redis does not answer; doing it again is safe.
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
        raise BrokerError(
            f"{without_password(broker.url)} does not answer ({error}); submitting again is safe"
        ) from error
    return counts


def enqueue_job(ledger: Ledger, broker: Broker, job: Job) -> int:
    """Puts every shard without an outcome on the board and its message on the queue, once.

    A job without such shards is reduced. Answers how many shards were put there: none that stay, where
    the job is cancelled meanwhile.
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
            yield shard_message(job, planned, int(unit), 1, at)

    broker.publish(queue, lane, messages())
    broker.redis.set(SENTINEL, 1)
    if len(committed) == len(planned):
        ask_to_reduce(broker, job)
    if ledger.is_cancelled(job.job_id):  # after this look, `remove_from_queue` finds all that was put there
        remove_from_queue(broker, job)
        return 0
    return count


def cancel_job(ledger: Ledger, broker: Broker | None, job: Job) -> None:
    """Stops a job: nothing of it is begun any more, and what runs stops between batches.

    What is done stays; `resume` goes on with the rest. Without `broker` only the ledger is told, which
    is enough: workers drop what they find of it on the queue.
    """
    ledger.cancel(job.job_id)
    ledger.deactivate(job.job_id)
    if broker is not None:
        remove_from_queue(broker, job)


def remove_from_queue(broker: Broker, job: Job) -> None:
    """Takes a job off the boards."""
    broker.board(gpu_queue(job.spec.model)).forget(job.job_id)
    broker.board(CPU_QUEUE).forget(job.job_id)

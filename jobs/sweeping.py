"""Keeps a pool's jobs moving: puts back what was lost, and starts what is due.

Run every half minute by one cpu worker, and by `savs-submit watch` and `resume`. Every step may be
repeated, and by two processes at once: the board compares before it sets, and the ledger decides.
"""

from collections.abc import Iterator

from jobs.attempts import Times, again, ask_to_reduce, shard_message
from jobs.board import Entry
from jobs.broker import CPU_QUEUE, Broker, gpu_queue, hidden
from jobs.ledger import Ledger
from jobs.messages import RunShard
from jobs.reducing import reduce_job
from jobs.shards import give_up
from jobs.specs import ClassifySpec, Job
from savs.errors import BrokerError

SENTINEL = "savs:board"  # is there unless Redis was emptied


def enqueue_job(ledger: Ledger, broker: Broker, job: Job) -> int:
    """Puts every shard without an outcome on the board and its message on the queue, once.

    A job without such shards is reduced. Answers how many shards were put there.
    """
    queue = gpu_queue(job.spec.model)
    plan, committed = ledger.plan(job.job_id), ledger.committed(job.job_id)
    open_shards = [shard.number for shard in plan.shards if shard.number not in committed]
    count = 0

    def messages() -> Iterator[RunShard]:
        nonlocal count
        for unit, at in broker.board(queue).enqueue(job.job_id, map(str, open_shards)):
            count += 1
            yield shard_message(job, plan, int(unit), 1, at)

    broker.publish(queue, messages())
    broker.redis.set(SENTINEL, 1)
    if not open_shards:
        ask_to_reduce(broker, job)
    return count


def enqueue_due(ledger: Ledger, broker: Broker, jobs: list[Job]) -> dict[str, int]:
    """Enqueues those of `jobs` that are not done and wait for nothing: job id → new shards.

    Raises BrokerError where Redis does not answer; doing it again is safe.
    """
    from redis.exceptions import RedisError

    counts = {}
    try:
        for job in jobs:
            if ledger.summary(job.job_id) is None and _is_due(ledger, job):
                counts[job.job_id] = enqueue_job(ledger, broker, job)
    except RedisError as error:
        raise BrokerError(
            f"{hidden(broker.url)} does not answer ({error}); submitting again is safe"
        ) from error
    return counts


def cancel_job(ledger: Ledger, broker: Broker | None, job: Job) -> None:
    """Stops a job: nothing of it is begun any more, and what runs stops between batches.

    What is done stays; `resume` goes on with the rest.
    """
    ledger.cancel(job.job_id)
    if broker is not None:
        broker.board(gpu_queue(job.spec.model)).forget(job.job_id)
        broker.board(CPU_QUEUE).forget(job.job_id)


def reduce_and_go_on(ledger: Ledger, broker: Broker, job: Job) -> None:
    """Reduces a job whose shards have outcomes, then enqueues the jobs that come after it."""
    summary = reduce_job(ledger, job)
    broker.board(CPU_QUEUE).finish(job.job_id, "reduce")
    if summary is not None and summary["status"] == "done":
        for waiting in ledger.jobs():
            if isinstance(waiting.spec, ClassifySpec) and waiting.spec.after == job.job_id:
                enqueue_job(ledger, broker, waiting)


def sweep(ledger: Ledger, broker: Broker, times: Times) -> None:
    """One round over all unfinished jobs of the workspace."""
    jobs = {
        job.job_id: job
        for job in ledger.jobs()
        if ledger.summary(job.job_id) is None and not ledger.is_cancelled(job.job_id)
    }
    emptied = not broker.redis.exists(SENTINEL)
    for queue in {CPU_QUEUE, *(gpu_queue(job.spec.model) for job in jobs.values())}:
        _put_back(ledger, broker, queue, jobs, times)
    for job in jobs.values():
        if _is_due(ledger, job):
            missing = len(ledger.plan(job.job_id).shards) - len(ledger.committed(job.job_id))
            if missing and (emptied or not _is_on_board(broker, job)):
                enqueue_job(ledger, broker, job)
            elif not missing:
                ask_to_reduce(broker, job)
    if emptied:
        broker.redis.set(SENTINEL, 1)


def _put_back(ledger: Ledger, broker: Broker, queue: str, jobs: dict[str, Job], times: Times) -> None:
    board = broker.board(queue)
    now = board.time()
    oldest = broker.oldest(queue)
    for entry in list(board.entries()):
        job = jobs.get(entry.job_id)
        if job is None or not _is_lost(entry, now, oldest, times.no_life):
            continue
        if entry.unit != "reduce" and entry.attempts >= times.attempts:
            shard = ledger.plan(job.job_id).shards[int(entry.unit)]
            give_up(ledger, job, shard, f"no sign of life in {entry.attempts} attempts")
            board.finish(job.job_id, entry.unit)
        else:
            again(ledger, broker, queue, job, entry)


def _is_lost(entry: Entry, now: float, oldest: float | None, no_life: float) -> bool:
    """A running unit without a sign of life; or a queued one whose message is no longer waiting,
    which shows in younger messages being next."""
    horizon = now if entry.state == "running" or oldest is None else oldest
    return entry.at + no_life < horizon


def _is_due(ledger: Ledger, job: Job) -> bool:
    after = job.spec.after if isinstance(job.spec, ClassifySpec) else None
    if after is None:
        return True
    before = ledger.summary(after)
    return before is not None and before["status"] == "done"


def _is_on_board(broker: Broker, job: Job) -> bool:
    return any(e.job_id == job.job_id for e in broker.board(gpu_queue(job.spec.model)).entries())

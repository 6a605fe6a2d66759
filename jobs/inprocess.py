"""The queue of a run without a broker: the same messages, worked off in the submitting process.

State lies in the ledger alone, so the process may be killed at any moment; submitting or resuming
again puts back on the queue what has no outcome yet.
"""

from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Literal, Protocol

from pydantic import TypeAdapter

from jobs.ledger import Ledger
from jobs.messages import Message, ReduceJob, RunShard
from jobs.reducing import reduce_job
from jobs.shards import give_up, run_shard
from jobs.specs import ClassifySpec, Job
from savs.errors import ItemError, SavsError

if TYPE_CHECKING:
    from savs.models import Model

ATTEMPTS = 3  # runs of a shard before it is given up
MESSAGES: TypeAdapter[Message] = TypeAdapter(Message)


class Watcher(Protocol):
    """Is told how a run goes on."""

    def loading(self, model: str) -> None: ...

    def started(self, job: Job, rows: int, done: int) -> None: ...

    def advanced(self, job: Job, rows: int) -> None: ...

    def gave_up(self, job: Job, shard: int, reason: str) -> None: ...


class InProcessQueue:
    """A deque of JSON messages."""

    def __init__(self) -> None:
        self.waiting: deque[bytes] = deque()

    def publish(self, message: RunShard | ReduceJob, first: bool = False) -> None:
        data = message.model_dump_json().encode()
        if first:
            self.waiting.appendleft(data)
        else:
            self.waiting.append(data)

    def take(self) -> RunShard | ReduceJob | None:
        return MESSAGES.validate_json(self.waiting.popleft()) if self.waiting else None


def enqueue(ledger: Ledger, queue: InProcessQueue, job: Job) -> None:
    """Publishes every shard of `job` without an outcome, then its reduction."""
    task: Literal["classify_shard", "extract_savs"] = (
        "classify_shard" if isinstance(job.spec, ClassifySpec) else "extract_savs"
    )
    committed = ledger.committed(job.job_id)
    for shard in ledger.plan(job.job_id).shards:
        if shard.number not in committed:
            queue.publish(RunShard(task=task, job_id=job.job_id, shard=shard))
    queue.publish(ReduceJob(job_id=job.job_id))


def drain(ledger: Ledger, queue: InProcessQueue, load: "Callable[[str], Model]", watcher: Watcher) -> None:
    """Works until the queue is empty.

    `load` gives the model of a name and is asked at the first shard, not before. Errors of the
    job itself are raised; any other failure of a shard is tried again, and after ATTEMPTS runs
    becomes its outcome.
    """
    started: set[str] = set()
    while (message := queue.take()) is not None:
        job = ledger.job(message.job_id)
        if isinstance(message, ReduceJob):
            reduce_job(ledger, job)
            continue
        model = load(job.spec.model)
        if job.job_id not in started:
            started.add(job.job_id)
            plan, committed = ledger.plan(job.job_id), ledger.committed(job.job_id)
            done = sum(shard.rows for shard in plan.shards if shard.number in committed)
            watcher.started(job, plan.rows, done)
        _run(ledger, queue, job, message, model, watcher)


def _run(
    ledger: Ledger,
    queue: InProcessQueue,
    job: Job,
    message: RunShard,
    model: "Model",
    watcher: Watcher,
) -> None:
    done = 0

    def progress(rows: int) -> None:
        nonlocal done
        done += rows
        watcher.advanced(job, rows)

    try:
        run_shard(ledger, job, message.shard, model, progress)
    except Exception as error:
        if isinstance(error, SavsError) and not isinstance(error, ItemError):
            raise  # the job itself cannot go on: its model, its artifact or its data
        watcher.advanced(job, -done)
        if message.attempt < ATTEMPTS:
            queue.publish(message.model_copy(update={"attempt": message.attempt + 1}), first=True)
            return
        reason = f"{type(error).__name__}: {error}"
        give_up(ledger, job, message.shard, reason)
        watcher.gave_up(job, message.shard.number, reason)

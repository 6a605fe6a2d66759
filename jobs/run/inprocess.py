"""The queue of a run without a broker: the same messages, handled in the submitting process.

All state is in the ledger, so the process may be killed at any moment; submitting again, or resuming,
enqueues the shards that have no outcome yet.
"""

from collections import deque
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Literal, Protocol

from pydantic import TypeAdapter

from jobs.ledger.ledger import Ledger
from jobs.records.job import ClassifySpec, Job
from jobs.records.message import Message, PlanJob, ReduceJob, RunShard
from jobs.records.plan import Shard
from jobs.records.retries import Planned
from jobs.reduce.brake import apply_brake
from jobs.reduce.reducer import reduce_job
from jobs.run.notify import notify_end
from jobs.run.reports import report_on
from jobs.shards.allowed_roots import Roots
from jobs.shards.shard import give_up, run_shard
from jobs.submit.submission import plan_job
from savs.errors import ItemError, JobStopped, SavsError

if TYPE_CHECKING:
    from savs.model.model import Model

ATTEMPTS = 3  # at a shard before it is given up
MESSAGES: TypeAdapter[Message] = TypeAdapter(Message)


class Watcher(Protocol):
    """Receives the progress of a run."""

    def loading(self, model: str) -> AbstractContextManager[None]: ...

    def started(self, job: Job, rows: int, done: int) -> None: ...

    def advanced(self, job: Job, rows: int) -> None: ...

    def gave_up(self, job: Job, shard: int, reason: str) -> None: ...


class InProcessQueue:
    """A queue of JSON messages in memory."""

    def __init__(self) -> None:
        self.waiting: deque[bytes] = deque()

    def publish(self, message: RunShard | PlanJob | ReduceJob, first: bool = False) -> None:
        data = message.model_dump_json().encode()
        if first:
            self.waiting.appendleft(data)
        else:
            self.waiting.append(data)

    def take(self) -> RunShard | PlanJob | ReduceJob | None:
        return MESSAGES.validate_json(self.waiting.popleft()) if self.waiting else None


def enqueue(ledger: Ledger, queue: InProcessQueue, job: Job) -> None:
    """Publishes every shard of `job` without an outcome, then its reduction; plans the job if necessary."""
    if not ledger.is_planned(job.job_id):
        ledger.create_plan(job.job_id, *plan_job(ledger, job))
    task: Literal["classify_shard", "extract_savs"] = (
        "classify_shard" if isinstance(job.spec, ClassifySpec) else "extract_savs"
    )
    committed = ledger.committed(job.job_id)
    for shard in ledger.planned(job.job_id):
        if shard.number not in committed:
            queue.publish(RunShard(task=task, job_id=job.job_id, shard=shard.number))
    queue.publish(ReduceJob(job_id=job.job_id))


def drain(
    ledger: Ledger,
    queue: InProcessQueue,
    load: "Callable[[str], Model]",
    watcher: Watcher,
    roots: Roots | None = None,
) -> None:
    """Handles messages until the queue is empty.

    `load` returns the model of a name, and is not called before the first shard. Raises errors of the job
    itself, and JobStopped if its first rows mostly fail. A shard that fails in another way is retried, and
    given up after ATTEMPTS attempts.
    """
    plans: dict[str, Planned] = {}
    while (message := queue.take()) is not None:
        job = ledger.job(message.job_id)
        if isinstance(message, ReduceJob):
            reduce_job(ledger, job)
            report_on(ledger, job, roots)
            notify_end(ledger, job)
            continue
        model = load(job.spec.model)
        if job.job_id not in plans:
            planned = plans[job.job_id] = ledger.planned(job.job_id)
            committed = ledger.committed(job.job_id)
            # Rows that are retried were read before, and count as not read.
            left = sum(shard.rows for shard in planned if shard.number not in committed)
            watcher.started(job, planned.rows, planned.rows - left)
        assert isinstance(message, RunShard), "a job is planned before it is put on this queue"
        shard = plans[job.job_id].shard(message.shard)
        _run(ledger, queue, job, message, shard, model, watcher, roots)
        if apply_brake(ledger, job, shard):
            notify_end(ledger, job)
            raise JobStopped(f"{job.job_id} was stopped: {ledger.why_cancelled(job.job_id)}")
        if ledger.is_cancelled(job.job_id):
            raise JobStopped(f"{job.job_id} was cancelled; continue: savs-submit resume {job.spec.name}")


def _run(
    ledger: Ledger,
    queue: InProcessQueue,
    job: Job,
    message: RunShard,
    shard: Shard,
    model: "Model",
    watcher: Watcher,
    roots: Roots | None,
) -> None:
    done = 0

    def progress(rows: int) -> None:
        nonlocal done
        done += rows
        watcher.advanced(job, rows)

    try:
        run_shard(ledger, job, shard, model, progress, roots)
    except Exception as error:
        if isinstance(error, SavsError) and not isinstance(error, ItemError):
            raise  # the job itself cannot run: a fault of its model, artifact or data
        watcher.advanced(job, -done)
        if message.attempt < ATTEMPTS:
            queue.publish(message.model_copy(update={"attempt": message.attempt + 1}), first=True)
            return
        reason = f"{type(error).__name__}: {error}"
        give_up(ledger, job, shard, reason)
        watcher.gave_up(job, shard.number, reason)

"""The work of a cpu worker before and after a job's shards: plans and reduces the job, starts the next.

If no cpu worker is running, `watch` and `resume` do it for their jobs."""

import logging
import os
import socket
from collections.abc import Callable
from importlib.util import find_spec

from jobs.ledger.artifacts import located
from jobs.ledger.ledger import Ledger
from jobs.ledger.plans import Plans
from jobs.queue.board import BoardEntry
from jobs.queue.broker import Broker
from jobs.queue.enqueue import enqueue_job
from jobs.queue.publisher import put_back
from jobs.queue.refusals import Refusals
from jobs.queue.timeouts import Timeouts
from jobs.records.job import Job, PilotSpec, awaited
from jobs.records.message import CPU_QUEUE, PlanJob, ReduceJob
from jobs.reduce.reducer import fail_job, reduce_job
from jobs.reduce.status import is_due
from jobs.run.attempt import Worker
from jobs.run.heartbeat import Heartbeat
from jobs.run.notify import notify_end
from jobs.run.reports import report_on
from jobs.shards.allowed_roots import Roots
from jobs.shards.companions import is_carried
from jobs.shards.rows import check_addresses
from jobs.submit.submission import plan_job
from savs.errors import (
    Changed,
    ForbiddenAddress,
    JobNotFound,
    LedgerError,
    ManifestError,
    NewerLedger,
    NotFound,
    SettingsError,
    StorageError,
)

# Another attempt would fail in the same way. Other errors may be caused by the machine or the network.
HOPELESS = (ManifestError, SettingsError, Changed, NotFound, LedgerError)
DATA = (ManifestError, SettingsError, Changed)  # fixing the cause of these makes it another job

log = logging.getLogger("savs.advancing")


def attempt_to_advance(worker: Worker, message: PlanJob | ReduceJob) -> str:
    """Plans or reduces the message's job, if this worker can claim that unit. Returns "stale",
    "cancelled", "done", "again", "refused" or "given up"."""
    ledger, broker = worker.ledger, worker.broker
    board = broker.board(CPU_QUEUE)
    job = ledger.job(message.job_id)
    if ledger.is_cancelled(job.job_id):
        board.finish(job.job_id, message.unit)
        return "cancelled"
    if not _is_wanted(ledger, message):  # anybody who can write to Redis may have sent this
        board.finish(job.job_id, message.unit)
        return "stale"
    number = board.claim(job.job_id, message.unit, message.epoch)
    if number is None:
        number = int(board.adopt(job.job_id, message.unit, message.epoch))
    if not number:
        return "stale"
    worker.claimed(number)
    unit = BoardEntry(job.job_id, message.unit, "running", message.epoch, number, message.at)
    word = "done"
    try:
        with Heartbeat(ledger, board, unit, worker.times.touch):
            if isinstance(message, PlanJob):
                plan_then_enqueue(ledger, broker, job, worker.roots)
            else:
                if isinstance(job.spec, PilotSpec):  # its examples are read again
                    check_addresses(located(ledger, job), worker.roots)
                reduce_then_enqueue(ledger, broker, job)
                report_on(ledger, job, worker.roots)
        worker.refusals.take_back(job.job_id)
    except (ForbiddenAddress, NewerLedger) as error:  # another cpu worker may be able to
        reasons = worker.refusals.refuse(job.job_id, str(error), worker.times.no_life)
        if reasons is None:
            put_back(broker, CPU_QUEUE, message, refund=True)
            return "refused"
        word = _fail(ledger, job, reasons)
    except Exception as error:
        if not isinstance(error, HOPELESS) and number < worker.times.attempts:
            log.warning("%s failed, will be retried: %s: %s", message.unit, type(error).__name__, error)
            put_back(broker, CPU_QUEUE, message)
            return "again"
        word = _fail(ledger, job, f"{type(error).__name__}: {error}", data=isinstance(error, DATA))
    board.finish(job.job_id, message.unit)
    notify_end(ledger, job)
    return word


def _is_wanted(ledger: Ledger, message: PlanJob | ReduceJob) -> bool:
    """Return whether a pool is to plan or reduce the job now."""
    job_id = message.job_id
    if not ledger.is_active(job_id) or ledger.summary(job_id) is not None:
        return False
    return ledger.is_planned(job_id) == isinstance(message, ReduceJob)


def act_as_cpu_worker(
    ledger: Ledger, broker: Broker, jobs: list[Job], times: Timeouts, tell: Callable[[str], None]
) -> None:
    """Plans and reduces `jobs` in this process, if they are queued for it; used if no cpu worker is running.

    Unlike a worker it has no allowed roots: it reads with the rights of the user who runs it. `tell` is
    called for each job that has to wait because this installation cannot fit.
    """
    me = f"{socket.gethostname()}:{os.getpid()}"
    worker = Worker(ledger, Plans(ledger), broker, CPU_QUEUE, Refusals(broker, CPU_QUEUE, me), times)
    board = broker.board(CPU_QUEUE)
    for job in jobs:  # in order: a reduction may start a later job whose shards have already ended
        for unit, kind in (("plan", PlanJob), ("reduce", ReduceJob)):
            entry = board.entry(job.job_id, unit)
            if entry is None or entry.state != "queued":
                continue
            if unit == "reduce" and job.spec.kind != "classify" and not _can_fit():
                tell(
                    f"{job.job_id} cannot be fitted here; start a cpu worker (savs-worker cpu), or install "
                    "savs with its models (pip install 'savs[worker]') and repeat this command"
                )
                continue
            attempt_to_advance(worker, kind(job_id=job.job_id, epoch=entry.epoch, at=entry.at))


def _can_fit() -> bool:
    return all(find_spec(package) is not None for package in ("numpy", "safetensors", "torch"))


def _fail(ledger: Ledger, job: Job, reason: str, data: bool = False) -> str:
    fail_job(ledger, job, reason, data=data)
    ledger.end(job.job_id)
    return "given up"


def plan_then_enqueue(ledger: Ledger, broker: Broker, job: Job, roots: Roots | None) -> None:
    """Plans a job, unless it is planned, and enqueues its shards unless it waits for another job."""
    if not ledger.is_planned(job.job_id):
        if roots is not None:
            roots.check_address(job.spec.source.url)
        ledger.create_plan(
            job.job_id, *plan_job(ledger, job, inside=None if roots is None else roots.folders)
        )
    if is_due(ledger, job) and not ledger.is_cancelled(job.job_id):  # planning may have taken long
        enqueue_job(ledger, broker, job)


def reduce_then_enqueue(ledger: Ledger, broker: Broker, job: Job) -> None:
    """Reduces a job whose shards have outcomes, then enqueues the jobs that waited for it: those that need
    its artifact, and its companions, which ran in the same pass."""
    summary = reduce_job(ledger, job)
    if summary is None:
        return
    for waiting in _waiting_for(ledger, job):
        try:
            able = ledger.is_planned(waiting.job_id) and not ledger.is_cancelled(waiting.job_id)
            if able and is_due(ledger, waiting) and ledger.summary(waiting.job_id) is None:
                enqueue_job(ledger, broker, waiting)
        except (JobNotFound, LedgerError, StorageError) as error:  # must not fail the job that is done
            log.warning("job %s: %s", waiting.job_id, error)
    ledger.end(job.job_id)


def _waiting_for(ledger: Ledger, job: Job) -> list[Job]:
    found = []
    for job_id in ledger.active():
        try:
            other = ledger.job(job_id)
            if awaited(other.spec) == job.job_id or other.beside == job.job_id:
                found.append(other)
                if is_carried(ledger, other) and other.beside is not None:  # which waited for this companion
                    found.append(ledger.job(other.beside))
        except (JobNotFound, LedgerError, StorageError) as error:  # must not fail `job`
            log.warning("job %s: %s", job_id, error)
    return found

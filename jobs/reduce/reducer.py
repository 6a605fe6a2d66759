"""Reduces a job's commits: to an artifact (extract) or a summary (classify).

Everything here follows from the ledger alone, so running it twice changes nothing.
"""

from contextlib import suppress
from typing import Any

from jobs.ledger.artifacts import located
from jobs.ledger.ledger import Ledger
from jobs.records.job import RATE_SECONDS, ExtractSpec, Job, PilotSpec, awaited, is_pilot, is_zero_shot
from jobs.records.message import gpu_queue
from jobs.records.retries import Planned
from jobs.reduce.fit import fit_examples, fit_with_corpus
from jobs.reduce.summary import summarise, timings_of
from jobs.reduce.sums import Sums, add_up
from savs.errors import LedgerError, StorageError


def reduce_job(ledger: Ledger, job: Job) -> dict[str, Any] | None:
    """Write and return the job's summary; return None while shards have no outcome.

    The `status` in it is "done", "incomplete" (shards were given up), or "failed" (nothing could
    be fitted; see `reason`). Memory does not grow with the number of shards that were done.
    """
    planned = ledger.planned(job.job_id)
    ended = ledger.committed(job.job_id)
    if beyond := sorted(n for n in ended if n >= len(planned)):
        raise LedgerError(f"job {job.job_id}: shards {beyond} have ended but were not planned")
    if len(ended) < len(planned):
        return None
    known = _known_rows(ledger, job)
    summary = summarise(located(ledger, job), planned, add_up(ledger, job, planned, ended), known)
    if isinstance(job.spec, ExtractSpec) and summary["status"] == "done":
        _add(summary, fit_examples(ledger, job, job.spec))
    elif isinstance(job.spec, PilotSpec):
        _add(summary, fit_with_corpus(ledger, located(ledger, job)))
    elif (after := awaited(job.spec)) is not None and is_pilot(after):
        summary["warnings"] += (ledger.summary(after) or {}).get("warnings", [])
    ledger.write_summary(job.job_id, summary)
    _remember_rate(ledger, job, planned, summary, known)
    return summary


def _add(summary: dict[str, Any], fitted: dict[str, Any]) -> None:
    summary |= fitted | {"warnings": [*summary["warnings"], *fitted.get("warnings", [])]}


def _known_rows(ledger: Ledger, job: Job) -> int:
    """Return how many rows of the job its pilot has read."""
    after = awaited(job.spec)
    known = after is not None and is_pilot(after) and ledger.is_there(after)
    return ledger.planned(after).rows if known and after is not None else 0


def _remember_rate(ledger: Ledger, job: Job, planned: Planned, summary: dict[str, Any], known: int) -> None:
    timings = summary["timings"]
    if is_zero_shot(job.spec) or isinstance(job.spec, PilotSpec) or job.spec.together is not None:
        return  # their rows take a different time
    read = summary["rows"] - known
    if summary["status"] != "done" or timings["worker_seconds"] < RATE_SECONDS or read <= 0:
        return
    queue = gpu_queue(job.spec.model)
    rates = ledger.rates(queue) | {planned.plan.kind: round(read / timings["worker_seconds"], 2)}
    with suppress(StorageError):  # the job is done all the same
        ledger.write_rates(queue, rates)


def fail_job(ledger: Ledger, job: Job, reason: str, *, data: bool = False) -> dict[str, Any]:
    """End a job that cannot continue, before any of its rows counts, with `reason`. Return its summary: one
    that says done stays.

    data  whether the cause is in its manifest, so that fixing it makes another job
    """
    again = " and submit it again" if data else f", then: savs-submit resume {job.spec.name}"
    summary = {
        "schema_version": 1,
        "job_id": job.job_id,
        "name": job.spec.name,
        "kind": job.spec.kind,
        "status": "failed",
        "reason": reason,
        "rows": 0,
        "shards": 0,
        "labelled": 0,
        "failed": 0,
        "abstained": 0,
        "classes": {},
        "errors": {},
        "warnings": [],
        "advice": f"fix it{again}",
        "timings": timings_of(Sums(), 0, 0),
        "created": job.submitted,
    }
    return ledger.write_failure(job.job_id, summary)

"""The state of a job, read from the ledger."""

from collections.abc import Mapping
from typing import Any

from jobs.ledger.artifacts import artifact_of
from jobs.ledger.ledger import Ledger
from jobs.ledger.processes import why_interrupted
from jobs.records.job import ExtractSpec, Job, awaited
from jobs.reduce.sums import add_up
from jobs.shards.companions import is_carried
from savs.storage import open_store


def job_state(ledger: Ledger, job: Job) -> dict[str, Any]:
    """Return the job's progress: `status` is a summary's, or "planning", "running", "waiting", "blocked",
    "interrupted" or "cancelled".

    "waiting" means that the job in `after` has not ended; "blocked" means that it has ended without
    success, or is blocked itself; "interrupted" means that neither a pool nor a living process runs the job.
    `reason` is given for jobs that failed, were stopped, or are interrupted; `abstained`, the number of rows
    without a prediction that did not fail, if there are any.
    """
    state: dict[str, Any] = {
        "job_id": job.job_id,
        "name": job.spec.name,
        "kind": job.spec.kind,
        "status": "planning",
        "shards": 0,
        "shards_done": 0,
        "rows": 0,
        "rows_done": 0,
        "failed": 0,
        "accuracy": None,
        "submitted": job.submitted.isoformat(timespec="seconds"),
        "note": job.note,
        "reason": None,
        "url": ledger.job_url(job.job_id),
    }
    summary = ledger.summary(job.job_id)
    if summary is not None:
        return state | _ended(summary)
    if ledger.is_planned(job.job_id):
        planned, committed = ledger.planned(job.job_id), ledger.committed(job.job_id)
        sums = add_up(ledger, job, planned, committed)
        state |= {
            "status": _unfinished(ledger, job),
            "shards": len(planned),
            "shards_done": len(committed),
            "rows": planned.rows,
            "rows_done": sums.counts["rows"],
            "failed": sums.counts["failed"],
            **abstained_of(sums.counts),
            "accuracy": sums.tally.accuracy if job.spec.kind == "classify" else None,
        }
    if ledger.is_cancelled(job.job_id):
        return state | {"status": "cancelled", "reason": ledger.why_cancelled(job.job_id)}
    if state["status"] in ("planning", "running") and (why := interruption(ledger, job)) is not None:
        return state | {"status": "interrupted", "reason": why}
    return state


def interruption(ledger: Ledger, job: Job) -> str | None:
    """Return why neither a pool nor a process runs a job that has not ended; None if one does."""
    if is_carried(ledger, job):
        assert job.beside is not None
        job = ledger.job(job.beside)
    return None if ledger.is_active(job.job_id) else why_interrupted(ledger, job.job_id)


def _ended(summary: dict[str, Any]) -> dict[str, Any]:
    return {
        "status": summary["status"],
        "shards": summary["shards"],
        "shards_done": summary["shards"],
        "rows": summary["rows"],
        "rows_done": summary["rows"],
        "failed": summary["failed"],
        **abstained_of(summary),
        "accuracy": summary.get("accuracy"),
        "reason": summary.get("reason"),
    }


def abstained_of(counts: Mapping[str, Any]) -> dict[str, int]:
    """Return the field `abstained` of a state; it is left out if no row abstained."""
    return {"abstained": counts["abstained"]} if counts["abstained"] else {}


def _unfinished(ledger: Ledger, job: Job) -> str:
    if is_due(ledger, job) or is_carried(ledger, job):
        return "running"
    return "blocked" if _is_blocked(ledger, job) else "waiting"


def _is_blocked(ledger: Ledger, job: Job) -> bool:
    """Return whether the job in `after`, or one that this waits for, has ended without success."""
    first = awaited(job.spec)
    if first is None or is_due(ledger, job):
        return False
    if (before := ledger.summary(first)) is not None:
        return bool(before["status"] != "done")
    return ledger.is_there(first) and _is_blocked(ledger, ledger.job(first))


def waits_in_vain(ledger: Ledger, job: Job) -> bool:
    """Return whether the job waits for one that was cancelled or did not end as done."""
    if (first := awaited(job.spec)) is None or is_due(ledger, job):
        return False
    if (before := ledger.summary(first)) is not None:
        return bool(before["status"] != "done")
    if ledger.is_cancelled(first):
        return True
    return ledger.is_there(first) and waits_in_vain(ledger, ledger.job(first))  # a pilot waits, too


def is_due(ledger: Ledger, job: Job) -> bool:
    """Return whether the job waits for no other, and is not run in the same pass as another. If the job in
    `after` was deleted, only its artifact is needed. In a pool, where the jobs before them end in any order,
    it also waits for those of its companions: otherwise these would not be in its pass."""
    if is_carried(ledger, job):
        return False
    if isinstance(job.spec, ExtractSpec) or job.spec.after is None:
        return True
    before = ledger.summary(job.spec.after)
    if before is None:
        artifact = artifact_of(ledger, job.spec)
        assert artifact is not None, "`after` requires an artifact"
        return open_store(artifact).exists("manifest.json") and not ledger.is_there(job.spec.after)
    return before["status"] == "done" and not any(
        ledger.is_active(one) and _waits_for_pool(ledger, ledger.job(one)) for one in job.companions
    )


def _waits_for_pool(ledger: Ledger, job: Job) -> bool:
    """Return whether a pool is still to end the job in `after`."""
    first = awaited(job.spec)
    if first is None or ledger.summary(first) is not None or not ledger.is_active(first):
        return False
    before = ledger.job(first)
    return is_due(ledger, before) or _waits_for_pool(ledger, before)

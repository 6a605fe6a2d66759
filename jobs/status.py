"""What state a job is in, read from the ledger."""

from typing import Any

from jobs.ledger import Ledger
from jobs.specs import ClassifySpec, Job


def job_state(ledger: Ledger, job: Job) -> dict[str, Any]:
    """The job's progress: `status` is a summary's, or "running", "waiting", "blocked" or
    "cancelled".

    "waiting" means that the job it comes after is not done, "blocked" that it never will be
    without help.
    """
    plan = ledger.plan(job.job_id)
    summary = ledger.summary(job.job_id) or {}
    outcomes = ledger.outcomes(job.job_id)
    return {
        "job_id": job.job_id,
        "name": job.spec.name,
        "kind": job.spec.kind,
        "status": summary.get("status") or _unfinished(ledger, job),
        "shards": len(plan.shards),
        "shards_done": len(outcomes),
        "rows": plan.rows,
        "rows_done": sum(o.counts.rows for o in outcomes),
        "failed": sum(o.counts.failed for o in outcomes),
        "accuracy": summary.get("accuracy"),
        "submitted": job.submitted.isoformat(timespec="seconds"),
        "url": ledger.job_url(job.job_id),
    }


def _unfinished(ledger: Ledger, job: Job) -> str:
    if ledger.is_cancelled(job.job_id):
        return "cancelled"
    if not isinstance(job.spec, ClassifySpec) or job.spec.after is None:
        return "running"
    before = ledger.summary(job.spec.after)
    if before is None:
        return "waiting"
    return "running" if before["status"] == "done" else "blocked"

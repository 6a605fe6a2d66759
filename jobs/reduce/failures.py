"""Explains failures of a job: why it ended, and which shards and rows failed."""

from typing import Any

from jobs.ledger.ledger import Ledger
from jobs.records.job import Job
from jobs.reduce.summary import errors_of
from jobs.reduce.sums import add_up


def explain_failures(ledger: Ledger, job: Job) -> dict[str, Any]:
    """Return the failures so far: `reason`, if the job failed or was stopped, else None; `given_up`, the
    shards that were given up, each with its `reason`, and `retry`, true if it retried rows; `errors`
    of rows, as in the summary."""
    summary = ledger.summary(job.job_id) or {}
    found: dict[str, Any] = {
        "reason": summary.get("reason") or ledger.why_cancelled(job.job_id),
        "given_up": [],
        "errors": {},
    }
    if not ledger.is_planned(job.job_id):
        return found
    planned = ledger.planned(job.job_id)
    sums = add_up(ledger, job, planned, ledger.committed(job.job_id))
    for number, reason in sorted(sums.dead.items()):
        shard = planned.shard(number)
        found["given_up"].append(
            {
                "shard": number,
                "first_index": shard.first_index,
                "rows": shard.rows,
                "retry": shard.retry is not None,
                "reason": reason,
            }
        )
    return found | {"errors": errors_of(sums)}

"""The brake: stops a job early if its first rows mostly fail.

A job is judged once, from the commits of the shards that hold its first rows. The result does not depend
on the order in which they end, and a stopped job that a user resumes is not stopped again.
"""

from jobs.ledger.ledger import Ledger
from jobs.records.job import Job
from jobs.records.plan import Shard

BRAKE_ROWS = 1000  # of a manifest; a job with fewer is never judged


def apply_brake(ledger: Ledger, job: Job, shard: Shard) -> bool:
    """Return whether the end of `shard` stops the job. If so, cancel the job, with the reason."""
    found = _first_rows(ledger, job, shard)
    if found is None or ledger.is_judged(job.job_id):
        return False
    rows, failed = found
    if not ledger.judge(job.job_id, {"rows": rows, "failed": failed}):
        return False
    if failed <= job.max_failure_rate * rows:
        return False
    ledger.cancel(
        job.job_id,
        f"{failed} of its first {rows} rows failed, more than {job.max_failure_rate:.0%} "
        f"(--max-failure-rate); savs-submit logs {job.spec.name} shows why. "
        f"savs-submit resume {job.spec.name} continues anyway",
    )
    return True


def _first_rows(ledger: Ledger, job: Job, shard: Shard) -> tuple[int, int] | None:
    """Return the numbers of rows and of failed rows in the shards that hold the first BRAKE_ROWS; None
    unless `shard` is one of them and all have ended."""
    if shard.retry is not None:
        return None
    size = shard.first_index // shard.number if shard.number else shard.rows
    last = -(-BRAKE_ROWS // size) - 1
    if shard.number > last:
        return None
    rows = failed = 0
    # From the last one on: shards end roughly in order, so one read usually shows that not all have ended.
    for number in range(last, -1, -1):
        outcome = ledger.outcome(job.job_id, number)
        if outcome is None:
            return None
        rows, failed = rows + outcome.counts.rows, failed + outcome.counts.failed
    return (rows, failed) if rows >= BRAKE_ROWS else None

"""Where the report of a job is. `jobs.report` makes it."""


def report_key(job_id: str) -> str:
    """Return the key of a job's report in its workspace."""
    return f"jobs/{job_id}/report/index.html"

"""Commands that continue existing jobs: `resume`, `retry`."""

from typing import TYPE_CHECKING, Any

import click

from jobs.cli.group import ledger_of, main, name_argument, reports_errors
from jobs.cli.handoff import hand_on
from jobs.cli.option_list import options
from jobs.cli.options import Handing, hand_options, notify_option, workspace_option
from jobs.ledger.named import newest_of

if TYPE_CHECKING:
    from jobs.ledger.ledger import Ledger
    from jobs.records.job import Job


@main.command()
@name_argument
@click.option("--retry-failed-shards", is_flag=True, help="Also retry the shards that were given up.")
@options(workspace_option, hand_options, notify_option)
@reports_errors
def resume(name: str, retry_failed_shards: bool, workspace: str | None, **how: Any) -> None:
    """Continue the newest jobs of NAME.

    NAME may also be the id of one job. With a broker, lost units are requeued at once; if no cpu worker is
    running, this command plans and reduces the jobs: once, or with --wait until they have ended.

    Example: savs-submit resume pets --workspace results
    """
    from jobs.submit.retry import retry_job

    ledger = ledger_of(workspace)
    jobs = newest_of(ledger, name)
    for job in jobs:
        ledger.uncancel(job.job_id)
        summary = ledger.summary(job.job_id)
        if summary is None:
            continue
        if retry_failed_shards and summary.get("missing"):
            rows = retry_job(ledger, job, dead_only=True)
            click.echo(f"{job.job_id}: {_retried(rows)}", err=True)
        elif summary["status"] == "failed":
            ledger.forget_summary(job.job_id)
    hand_on(ledger, jobs, Handing(**how))


@main.command(short_help="Retry the rows that failed, and no others.")
@name_argument
@options(workspace_option, hand_options, notify_option)
@reports_errors
def retry(name: str, workspace: str | None, **how: Any) -> None:
    """Retry the rows that failed in the newest jobs of NAME, and no others.

    Shards that were given up are retried too. The new result of a row replaces the old one.

    Example: savs-submit retry pets --workspace results
    """
    from jobs.reduce.status import is_due
    from jobs.submit.retry import check_retriable, retry_job

    ledger = ledger_of(workspace)
    jobs = newest_of(ledger, name)
    due = [job for job in jobs if ledger.summary(job.job_id) is not None or is_due(ledger, job)]
    for job in due:
        check_retriable(ledger, job)
    for job in due:
        wrong = _wrong(ledger, job)
        rows = retry_job(ledger, job, dead_only=False)
        click.echo(f"{job.job_id}: {_retried(rows)}{wrong}", err=True)
    hand_on(ledger, jobs, Handing(**how))


def _wrong(ledger: "Ledger", job: "Job") -> str:
    """What to do with rows that are not retried, because they are wrong in the manifest itself."""
    from jobs.reduce.summary import rows_in_manifest, wrong_in_manifest

    summary = ledger.summary(job.job_id)
    count = 0 if summary is None else rows_in_manifest(summary["errors"])
    return f"; {wrong_in_manifest(count)}" if count else ""


def _retried(rows: int) -> str:
    if rows == 0:
        return "nothing to retry"
    return "1 row is retried" if rows == 1 else f"{rows} rows are retried"

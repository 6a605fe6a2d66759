"""Commands for jobs that are there: `resume`, `retry`, `cancel`, `delete`."""

from typing import TYPE_CHECKING

import click

from jobs.cli.group import (
    broker_option,
    http_option,
    jobs_of,
    json_option,
    ledger_of,
    main,
    name_argument,
    newest_of,
    options,
    reports_errors,
    wait_option,
    workspace_option,
)
from jobs.cli.handing import hand_on

if TYPE_CHECKING:
    from jobs.ledger import Ledger


@main.command()
@name_argument
@click.option("--retry-failed-shards", is_flag=True, help="Run again the shards that were given up.")
@options(workspace_option, broker_option, wait_option, http_option, json_option)
@reports_errors
def resume(
    name: str,
    retry_failed_shards: bool,
    workspace: str | None,
    broker: str | None,
    wait: bool,
    allow_http: bool,
    as_json: bool,
) -> None:
    """Go on with the newest jobs of NAME (or the one with that id) where they stopped.

    With a broker, what the pool has lost of them is put back at once; while no cpu worker is alive, what
    there is to plan and to add up is done here. With --wait that goes on until they have ended.

    Example: savs-submit resume pets --workspace results
    """
    from jobs.retrying import retry_job

    ledger = ledger_of(workspace)
    jobs = newest_of(ledger, name)
    for job in jobs:
        ledger.uncancel(job.job_id)
        summary = ledger.summary(job.job_id)
        if summary is None:
            continue
        if retry_failed_shards and summary["status"] == "incomplete":
            rows = retry_job(ledger, job, dead_only=True)
            click.echo(f"{job.job_id}: {rows} rows of shards that were given up are run again", err=True)
        elif summary["status"] == "failed":
            ledger.forget_summary(job.job_id)
    hand_on(ledger, jobs, broker, wait, as_json, allow_http)


@main.command(short_help="Run failed rows again, and no others.")
@name_argument
@options(workspace_option, broker_option, wait_option, http_option, json_option)
@reports_errors
def retry(
    name: str, workspace: str | None, broker: str | None, wait: bool, allow_http: bool, as_json: bool
) -> None:
    """Run again the rows that failed in NAME's newest jobs, and no others.

    What was given up as a whole shard is run again too. A row's new result takes the place of the old.

    Example: savs-submit retry pets --workspace results
    """
    from jobs.retrying import check_ended, retry_job
    from jobs.status import is_due

    ledger = ledger_of(workspace)
    jobs = newest_of(ledger, name)
    due = [job for job in jobs if ledger.summary(job.job_id) is not None or is_due(ledger, job)]
    for job in due:
        check_ended(ledger, job)
    for job in due:
        rows = retry_job(ledger, job, dead_only=False)
        click.echo(f"{job.job_id}: {rows} rows are run again", err=True)
    hand_on(ledger, jobs, broker, wait, as_json, allow_http)


@main.command(short_help="Stop jobs; `resume` goes on.")
@name_argument
@options(workspace_option, broker_option)
@reports_errors
def cancel(name: str, workspace: str | None, broker: str | None) -> None:
    """Stop the jobs of NAME; what is done stays, and `resume` goes on.

    Example: savs-submit cancel pets --workspace results
    """
    from jobs.broker import Broker
    from jobs.enqueueing import cancel_job
    from jobs.settings import broker_of

    ledger, url = ledger_of(workspace), broker_of(broker)
    for job in jobs_of(ledger, name):
        if ledger.summary(job.job_id) is None:
            cancel_job(ledger, Broker(url) if url else None, job)
            click.echo(f"{job.job_id}: cancelled")
        else:
            click.echo(f"{job.job_id}: has ended")


@main.command(short_help="Remove jobs with their rows, or orphans.")
@name_argument
@click.option("--orphans", is_flag=True, help="Only parts that no commit names; all results stay.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@options(workspace_option)
@reports_errors
def delete(name: str, orphans: bool, yes: bool, workspace: str | None) -> None:
    """Remove the jobs of NAME (or the one with that id) with all their rows; artifacts stay.

    A job that has not ended must be cancelled first. With --orphans, remove only what attempts left
    behind that lost the race for their shard.

    Example: savs-submit delete pets-classify-1a2b3c4d --workspace results
    """
    from savs.errors import JobError

    ledger = ledger_of(workspace)
    jobs = jobs_of(ledger, name)
    if orphans:
        for job in jobs:
            click.echo(f"{job.job_id}: {_delete_orphans(ledger, job.job_id)} orphans deleted")
        return
    for job in jobs:
        if not _has_stopped(ledger, job.job_id):
            raise JobError(f"{job.job_id} has not ended; savs-submit cancel {name} stops it")
    for job in jobs:
        if yes or click.confirm(f"delete {job.job_id} with all its rows?"):
            ledger.delete(job.job_id)
            click.echo(f"{job.job_id}: deleted")


def _has_stopped(ledger: "Ledger", job_id: str) -> bool:
    """Whether nobody works on the job. One without a plan that no pool sees to is what a deletion left
    that was interrupted, or a submission."""
    return (
        ledger.is_cancelled(job_id)
        or ledger.summary(job_id) is not None
        or not (ledger.is_planned(job_id) or job_id in ledger.active())
    )


def _delete_orphans(ledger: "Ledger", job_id: str) -> int:
    keys = list(ledger.orphans(job_id))
    for key in keys:
        ledger.store.delete(key)
    return len(keys)

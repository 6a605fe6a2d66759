"""Commands for jobs that are there: `resume`, `retry`, `cancel`, `delete`."""

import json
import sys
from typing import TYPE_CHECKING

import click

from jobs.cli.group import (
    broker_option,
    complete_name,
    http_option,
    jobs_of,
    json_option,
    ledger_of,
    main,
    name_argument,
    newest_of,
    options,
    reports_errors,
    self_test_option,
    wait_option,
    workspace_option,
)
from jobs.cli.handing import hand_on

if TYPE_CHECKING:
    from jobs.ledger import Ledger


@main.command()
@name_argument
@click.option("--retry-failed-shards", is_flag=True, help="Run again the shards that were given up.")
@options(workspace_option, broker_option, wait_option, http_option, self_test_option, json_option)
@reports_errors
def resume(
    name: str,
    retry_failed_shards: bool,
    workspace: str | None,
    broker: str | None,
    wait: bool,
    allow_http: bool,
    skip_self_test: bool,
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
    hand_on(ledger, jobs, broker, wait, as_json, allow_http, skip_self_test)


@main.command(short_help="Run failed rows again, and no others.")
@name_argument
@options(workspace_option, broker_option, wait_option, http_option, self_test_option, json_option)
@reports_errors
def retry(
    name: str,
    workspace: str | None,
    broker: str | None,
    wait: bool,
    allow_http: bool,
    skip_self_test: bool,
    as_json: bool,
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
    hand_on(ledger, jobs, broker, wait, as_json, allow_http, skip_self_test)


@main.command(short_help="Stop jobs; `resume` goes on.")
@name_argument
@options(workspace_option, broker_option, json_option)
@reports_errors
def cancel(name: str, workspace: str | None, broker: str | None, as_json: bool) -> None:
    """Stop all jobs of NAME (or the one with that id); what is done stays, and `resume` goes on.

    Example: savs-submit cancel pets --workspace results
    """
    from jobs.broker import Broker
    from jobs.enqueueing import cancel_job, take_off
    from jobs.settings import broker_of
    from savs.errors import BrokerError

    ledger, url = ledger_of(workspace), broker_of(broker)
    jobs = jobs_of(ledger, name)
    running = [job for job in jobs if ledger.summary(job.job_id) is None]
    for job in running:
        cancel_job(ledger, None, job)
    if url is not None and running:
        from redis.exceptions import RedisError

        try:
            for job in running:
                take_off(Broker(url), job)
        except RedisError as error:
            raise BrokerError(
                f"{', '.join(job.job_id for job in running)}: cancelled, but the broker does not answer "
                f"({error}), so what waits stays on the queue, where workers drop it; "
                f"savs-submit cancel {name} again takes it off"
            ) from error
    if as_json:
        click.echo(json.dumps([{"job_id": j.job_id, "cancelled": j in running} for j in jobs], indent=1))
    else:
        for job in jobs:
            click.echo(f"{job.job_id}: {'cancelled' if job in running else 'has ended'}")


@main.command(short_help="Remove jobs with their rows, or orphans.")
@click.argument("name", shell_complete=complete_name, required=False)
@click.option("--orphans", is_flag=True, help="Only parts that no commit names; all results stay.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@options(workspace_option, json_option)
@reports_errors
def delete(name: str | None, orphans: bool, yes: bool, workspace: str | None, as_json: bool) -> None:
    """Remove the jobs of NAME (or the one with that id) with all their rows; artifacts stay.

    A job that has not ended must be cancelled first. With --orphans, remove only what attempts left
    behind that lost the race for their shard, of NAME or of all jobs. --json asks nothing, and so needs
    --yes.

    Example: savs-submit delete pets-classify-1a2b3c4d --workspace results
    """
    from savs.errors import JobError, SettingsError

    if orphans:
        _delete_orphans(ledger_of(workspace), name, as_json)
        return
    if name is None:
        raise SettingsError("name the jobs to delete, or give --orphans for those of all jobs")
    if as_json and not yes:
        raise SettingsError("--json asks nothing; give --yes too")
    ledger = ledger_of(workspace)
    jobs = jobs_of(ledger, name)
    for job in jobs:
        if not _has_stopped(ledger, job.job_id):
            raise JobError(f"{job.job_id} has not ended; savs-submit cancel {name} stops it")
    for job in jobs:
        if yes or click.confirm(f"delete {job.job_id} with all its rows?"):
            ledger.delete(job.job_id)
            if not as_json:
                click.echo(f"{job.job_id}: deleted")
    if as_json:
        click.echo(json.dumps([{"job_id": job.job_id, "deleted": True} for job in jobs], indent=1))


def _has_stopped(ledger: "Ledger", job_id: str) -> bool:
    """Whether nobody works on the job. One without a plan that no pool sees to is what a deletion left
    that was interrupted, or a submission."""
    return (
        ledger.is_cancelled(job_id)
        or ledger.summary(job_id) is not None
        or not (ledger.is_planned(job_id) or job_id in ledger.active())
    )


def _delete_orphans(ledger: "Ledger", name: str | None, as_json: bool) -> None:
    """Exits with 1 where a job cannot be read; the others' orphans are deleted all the same."""
    from savs.errors import LedgerError, SavsError

    spoilt: list[SavsError] = []
    jobs = ledger.jobs(spoilt=spoilt.append) if name is None else jobs_of(ledger, name)
    found = []
    for job in jobs:
        try:
            keys = list(ledger.orphans(job.job_id))
        except LedgerError as error:
            spoilt.append(error)
            continue
        for key in keys:
            ledger.store.delete(key)
        found.append((job.job_id, len(keys)))
    if as_json:
        click.echo(json.dumps([{"job_id": job_id, "orphans": count} for job_id, count in found], indent=1))
    else:
        for job_id, count in found:
            click.echo(f"{job_id}: {count} orphans deleted")
    for unread in spoilt:
        click.echo(f"savs-submit: {unread}", err=True)
    if spoilt:
        sys.exit(1)

"""Commands that stop or delete jobs: `cancel`, `delete`."""

import json
import sys
from typing import TYPE_CHECKING

import click

from jobs.cli.group import complete_name, ledger_of, main, name_argument, reports_errors
from jobs.cli.option_list import options
from jobs.cli.options import broker_option, json_option, workspace_option
from jobs.cli.output.characters import printable
from jobs.ledger.named import jobs_of

if TYPE_CHECKING:
    from jobs.ledger.ledger import Ledger
    from jobs.records.job import Job


@main.command(short_help="Stop jobs; `resume` continues them.")
@name_argument
@options(workspace_option, broker_option, json_option)
@reports_errors
def cancel(name: str, workspace: str | None, broker: str | None, as_json: bool) -> None:
    """Stop all jobs of NAME.

    NAME may also be the id of one job. Finished shards stay, and `resume` continues the rest.

    Example: savs-submit cancel pets --workspace results
    """
    from jobs.queue.broker import Broker
    from jobs.queue.enqueue import cancel_job, remove_from_queue
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
                remove_from_queue(Broker(url), job)
        except RedisError as error:
            raise BrokerError(
                f"{', '.join(job.job_id for job in running)}: cancelled, but the broker does not answer "
                f"({error}); waiting shards stay on the queue until workers drop them, or until you repeat: "
                f"savs-submit cancel {name}"
            ) from error
    if as_json:
        click.echo(json.dumps([{"job_id": j.job_id, "cancelled": j in running} for j in jobs], indent=1))
    else:
        for job in jobs:
            click.echo(f"{job.job_id}: {'cancelled' if job in running else 'has ended'}")


@main.command(short_help="Delete jobs with their rows, or leftover parts.")
@click.argument("name", shell_complete=complete_name, required=False)
@click.option("--orphans", is_flag=True, help="Delete only leftover parts that no commit names.")
@click.option("--yes", is_flag=True, help="Do not ask for confirmation.")
@options(workspace_option, json_option)
@reports_errors
def delete(name: str | None, orphans: bool, yes: bool, workspace: str | None, as_json: bool) -> None:
    """Delete the jobs of NAME with all their rows; artifacts stay.

    NAME may also be the id of one job. A job that has not ended must be cancelled first. With --orphans,
    delete only leftover parts, of NAME or of all jobs: those of attempts whose shard another attempt had
    committed. All results stay. --json does not ask for confirmation, and requires --yes.

    Example: savs-submit delete pets-classify-1a2b3c4d --workspace results
    """
    from savs.errors import JobError, SettingsError

    if orphans:
        _delete_orphans(ledger_of(workspace), name, as_json)
        return
    if name is None:
        raise SettingsError("give the NAME of the jobs to delete, or --orphans for the orphans of all jobs")
    if as_json and not yes:
        raise SettingsError("--json does not ask for confirmation; add --yes")
    ledger = ledger_of(workspace)
    jobs = jobs_of(ledger, name)
    for job in jobs:
        if not _has_stopped(ledger, job):
            raise JobError(f"{job.job_id} has not ended; cancel it first: savs-submit cancel {name}")
    for job in jobs:
        if yes or click.confirm(f"delete {job.job_id} with all its rows?"):
            ledger.delete(job.job_id)
            if not as_json:
                click.echo(f"{job.job_id}: deleted")
    if as_json:
        click.echo(json.dumps([{"job_id": job.job_id, "deleted": True} for job in jobs], indent=1))


def _has_stopped(ledger: "Ledger", job: "Job") -> bool:
    """True if neither a pool nor a process runs the job."""
    from jobs.reduce.status import interruption

    return (
        ledger.is_cancelled(job.job_id)
        or ledger.summary(job.job_id) is not None
        or interruption(ledger, job) is not None
    )


def _delete_orphans(ledger: "Ledger", name: str | None, as_json: bool) -> None:
    """Deletes the orphans of NAME or of all jobs. Exits with 1 if a job cannot be read, after the others."""
    from savs.errors import SavsError

    unreadable: list[SavsError] = []
    jobs = ledger.jobs(unreadable=unreadable.append) if name is None else jobs_of(ledger, name)
    found = []
    for job in jobs:
        try:
            keys = list(ledger.orphans(job.job_id))
            for key in keys:
                ledger.store.delete(key)
        except SavsError as error:
            unreadable.append(error)
            continue
        found.append((job.job_id, len(keys)))
    if as_json:
        click.echo(json.dumps([{"job_id": job_id, "orphans": count} for job_id, count in found], indent=1))
    else:
        for job_id, count in found:
            click.echo(f"{job_id}: {count} {'orphan' if count == 1 else 'orphans'} deleted")
    for unread in unreadable:
        click.echo(printable(f"savs-submit: {unread}"), err=True)
    if unreadable:
        sys.exit(1)

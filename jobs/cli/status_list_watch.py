"""Commands that show the progress of jobs: `status`, `list`, `watch`."""

import sys
from typing import TYPE_CHECKING

import click

from jobs.cli.group import ledger_of, main, name_argument, reports_errors
from jobs.cli.handoff import follow_jobs, tell
from jobs.cli.option_list import options
from jobs.cli.options import broker_option, json_option, verbose_option, workspace_option
from jobs.cli.output.characters import json_text, printable
from jobs.ledger.named import jobs_of, newest_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from jobs.ledger.ledger import Ledger
    from jobs.records.job import Job
    from savs.errors import SavsError

STATUS_TIMEOUT = 2.0  # seconds for Redis to answer; the ledger has the rest


@main.command()
@name_argument
@options(workspace_option, broker_option, json_option)
@reports_errors
def status(name: str, workspace: str | None, broker: str | None, as_json: bool) -> None:
    """Show the progress of the jobs of NAME.

    With a broker, also why no worker runs a job, if that is known: none is running, none can start, or all
    refuse it.

    Example: savs-submit status pets --workspace results
    """
    from jobs.settings import broker_of

    ledger = ledger_of(workspace)
    _print_states(ledger, jobs_of(ledger, name), as_json, broker=broker_of(broker))


@main.command("list")
@options(workspace_option, json_option)
@reports_errors
def list_jobs(workspace: str | None, as_json: bool) -> None:
    """List all jobs of the workspace.

    Those that cannot be read are named on standard error, and the exit code is then 1.

    Example: savs-submit list --workspace results
    """
    ledger = ledger_of(workspace)
    unreadable: list[SavsError] = []
    _print_states(ledger, ledger.jobs(unreadable=unreadable.append), as_json, unreadable.append)
    for error in unreadable:
        click.echo(printable(f"savs-submit: {error}"), err=True)
    if unreadable:
        sys.exit(1)


@main.command(short_help="Follow jobs on a pool until they end.")
@name_argument
@options(workspace_option, broker_option, json_option, verbose_option)
@reports_errors
def watch(name: str, workspace: str | None, broker: str | None, as_json: bool, verbose: bool) -> None:
    """Follow the newest jobs of NAME on a pool until they end.

    Shows shards, items/s, the time left, failures, accuracy so far, and running workers on standard error:
    bars on a terminal, otherwise a line when something changes or every half minute; with --json, a JSON
    object per line. The summaries are printed on standard output at the end. With a broker, `watch` also
    requeues lost units, and if no cpu worker is running, it plans and reduces the jobs.

    Example: savs-submit watch pets --workspace results --broker redis://localhost
    """
    from jobs.settings import broker_of

    ledger = ledger_of(workspace)
    follow_jobs(ledger, newest_of(ledger, name), broker_of(broker), as_json, verbose)


def _print_states(
    ledger: "Ledger",
    jobs: "list[Job]",
    as_json: bool,
    unreadable: "Callable[[SavsError], None] | None" = None,
    broker: str | None = None,
) -> None:
    """Prints `jobs`. Errors of unreadable jobs are passed to `unreadable`, if given, else raised. With the
    address of a broker, jobs that no worker can run have the reason."""
    from jobs.cli.output.advice import complete
    from jobs.cli.output.jobs import print_jobs
    from jobs.reduce.status import job_state
    from savs.errors import SavsError

    states = []
    for job in jobs:
        try:
            states.append(job_state(ledger, job))
        except SavsError as error:
            if unreadable is None:
                raise
            unreadable(error)
    if broker is not None:
        _add_hindrances(ledger, broker, jobs, states)
    if as_json:
        click.echo(json_text(states))
    else:
        print_jobs(states)
        newest = {(job.spec.name, job.spec.kind): job.job_id for job in jobs}.values()
        stopped = [state for state in states if state["status"] == "interrupted"]
        for called in dict.fromkeys(s["name"] if s["job_id"] in newest else s["job_id"] for s in stopped):
            click.echo(complete(f"to continue: savs-submit resume {called}"))


def _add_hindrances(ledger: "Ledger", url: str, jobs: "list[Job]", states: "list[dict[str, Any]]") -> None:
    """Adds to the states of waiting jobs why no worker runs them. If Redis does not answer, says so."""
    from redis.exceptions import RedisError

    from jobs.queue.broker import Broker, without_password
    from jobs.run.hindrances import why_it_waits

    broker, known = Broker(url, STATUS_TIMEOUT), {job.job_id: job for job in jobs}
    waiting = [one for one in states if one["status"] in ("planning", "running") and not one["reason"]]
    try:
        for state in waiting:
            state["reason"] = why_it_waits(ledger, broker, known[state["job_id"]])
    except RedisError as error:
        tell(f"{without_password(url)} does not answer, so reasons of waiting jobs may be missing: {error}")

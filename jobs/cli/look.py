"""Commands that look: `status`, `list`, `watch`, `results`, `logs`, `compare`."""

import json
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from jobs.cli.group import (
    broker_option,
    complete_name,
    jobs_of,
    json_option,
    ledger_of,
    main,
    name_argument,
    newest_of,
    options,
    reports_errors,
    workspace_option,
)
from jobs.cli.handing import follow_jobs

if TYPE_CHECKING:
    from collections.abc import Callable

    from jobs.ledger import Ledger
    from jobs.specs import Job
    from savs.errors import SavsError


@main.command()
@name_argument
@options(workspace_option, json_option)
@reports_errors
def status(name: str, workspace: str | None, as_json: bool) -> None:
    """How far the jobs of NAME are.

    Example: savs-submit status pets --workspace results
    """
    ledger = ledger_of(workspace)
    _print_states(ledger, jobs_of(ledger, name), as_json)


@main.command("list")
@options(workspace_option, json_option)
@reports_errors
def list_jobs(workspace: str | None, as_json: bool) -> None:
    """All jobs of the workspace.

    Example: savs-submit list --workspace results
    """
    ledger = ledger_of(workspace)
    spoilt: list[SavsError] = []
    _print_states(ledger, ledger.jobs(spoilt=spoilt.append), as_json, spoilt.append)
    for error in spoilt:
        click.echo(f"savs-submit: {error}", err=True)


@main.command(short_help="Follow jobs on a pool until they end.")
@name_argument
@options(workspace_option, broker_option, json_option)
@reports_errors
def watch(name: str, workspace: str | None, broker: str | None, as_json: bool) -> None:
    """Follow the newest jobs of NAME on a pool until they end: shards, items/s, the time left, failures,
    accuracy so far, and workers alive, on standard error.

    Without a terminal that is a line when something changes, else every half minute; with --json a JSON
    object a line, and standard output has the summaries alone, at the end. With a broker it also puts
    back what was lost, and plans and adds up while no cpu worker is alive.

    Example: savs-submit watch pets --workspace results --broker redis://localhost
    """
    from jobs.settings import broker_of

    ledger = ledger_of(workspace)
    follow_jobs(ledger, newest_of(ledger, name), broker_of(broker), as_json)


@main.command(short_help="Print the labels, in manifest order.")
@name_argument
@click.option("--out", type=click.Path(dir_okay=False), help="File to write; by default standard output.")
@workspace_option
@reports_errors
def results(name: str, out: str | None, workspace: str | None) -> None:
    """The newest labels of NAME: a JSON object per row, in manifest order.

    Example: savs-submit results pets --workspace results --out labels.jsonl
    """
    from jobs.results import result_rows
    from savs.errors import JobNotFound, SettingsError

    ledger = ledger_of(workspace)
    labelled = [job for job in jobs_of(ledger, name) if job.spec.kind == "classify"]
    if not labelled:
        raise JobNotFound(f"{name!r} has no classify job in {ledger.workspace}")
    try:
        with click.open_file(out or "-", "wb", atomic=out is not None) as stream:
            for row in result_rows(ledger, labelled[-1].job_id):
                stream.write(row)
    except OSError as error:
        if out is None:
            raise  # click ends quietly where nobody reads standard output any more
        raise SettingsError(f"--out: {out} cannot be written: {error.strerror}") from error


@main.command(short_help="Why jobs, shards and rows failed.")
@name_argument
@options(workspace_option, json_option)
@reports_errors
def logs(name: str, workspace: str | None, as_json: bool) -> None:
    """Why NAME's jobs failed, shards were given up, and rows failed: each kind of error, with examples.

    Example: savs-submit logs pets --workspace results
    """
    from jobs.explaining import explain_failures
    from jobs.printing import print_failures

    ledger = ledger_of(workspace)
    found = {job.job_id: explain_failures(ledger, job) for job in jobs_of(ledger, name)}
    if as_json:
        click.echo(json.dumps(found, ensure_ascii=False, indent=1))
    else:
        print_failures(found)


@main.command(short_help="Which of two jobs labels better.")
@click.argument("first", shell_complete=complete_name)
@click.argument("second", shell_complete=complete_name)
@options(workspace_option, json_option)
@reports_errors
def compare(first: str, second: str, workspace: str | None, as_json: bool) -> None:
    """Which of two jobs labels the same rows better, and whether that may be chance.

    Names stand for their newest classify job. Rows without a label are left out; rows that failed
    count as wrong. The test is McNemar's.

    Example: savs-submit compare pets pets-zero-shot --workspace results
    """
    from jobs.comparing import compare_jobs
    from jobs.printing import print_comparison

    ledger = ledger_of(workspace)
    found = compare_jobs(ledger, newest_of(ledger, first)[-1], newest_of(ledger, second)[-1])
    if as_json:
        click.echo(json.dumps(asdict(found), ensure_ascii=False, indent=1))
    else:
        print_comparison(found)


def _print_states(
    ledger: "Ledger", jobs: "list[Job]", as_json: bool, spoilt: "Callable[[SavsError], None] | None" = None
) -> None:
    """Shows `jobs`; those that cannot be read are told to `spoilt`, where that is given, else raised."""
    from jobs.printing import print_jobs
    from jobs.status import job_state
    from savs.errors import LedgerError

    states = []
    for job in jobs:
        try:
            states.append(job_state(ledger, job))
        except LedgerError as error:
            if spoilt is None:
                raise
            spoilt(error)
    if as_json:
        click.echo(json.dumps(states, ensure_ascii=False, indent=1))
    else:
        print_jobs(states)

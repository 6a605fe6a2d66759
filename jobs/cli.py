"""The `savs-submit` command. Imports are inside the commands, so that `--help` answers at once."""

import json
import sys
from collections.abc import Callable
from functools import wraps
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

import click

if TYPE_CHECKING:
    from jobs.ledger import Ledger
    from jobs.specs import Job

DEFAULT_HEADS = 20  # as published
DEFAULT_SHARD = 256  # rows
DEFAULT_BATCH = 16  # items

Command = TypeVar("Command", bound=Callable[..., Any])


def options(*chosen: Callable[[Command], Command]) -> Callable[[Command], Command]:
    """Several options as one decorator."""

    def decorate(command: Command) -> Command:
        for option in reversed(chosen):
            command = option(command)
        return command

    return decorate


workspace_option = click.option(
    "--workspace", metavar="DIR", help="Folder or s3:// address of all results [SAVS_WORKSPACE]."
)
broker_option = click.option(
    "--broker", metavar="URL", help="redis://… of a pool; without one, jobs run here [SAVS_BROKER_URL]."
)
wait_option = click.option("--wait", is_flag=True, help="With a broker: stay until the jobs have ended.")
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON, for machines.")
name_option = click.option("--name", required=True, help="Name of the task, the job and its artifact.")
train_option = click.option(
    "--train", required=True, metavar="FILE", help="Labelled examples: JSONL, a local path or s3://."
)
data_option = click.option(
    "--data", required=True, metavar="FILE", help="The corpus: JSONL, a local path or s3://."
)
size_options = options(
    click.option(
        "--shard-size",
        type=click.IntRange(min=1),
        default=DEFAULT_SHARD,
        show_default=True,
        help="Rows per shard: what is done again after a crash.",
    ),
    click.option(
        "--batch-size",
        type=click.IntRange(min=1),
        default=DEFAULT_BATCH,
        show_default=True,
        help="Items in one forward pass.",
    ),
)
fit_options = options(
    click.option(
        "--heads",
        type=click.IntRange(min=1),
        default=DEFAULT_HEADS,
        show_default=True,
        help="Attention heads that vote.",
    ),
    click.option("--readout", type=click.Choice(["reference"]), default="reference", show_default=True),
)


def reports_errors(command: Command) -> Command:
    """Prints savs' own errors as one message: exit code 2 where nothing was begun, else 1."""

    @wraps(command)
    def run(*args: Any, **kwargs: Any) -> Any:
        from savs.errors import (
            ArtifactNotFound,
            JobNotFound,
            ManifestError,
            ModelNotFound,
            SavsError,
            SettingsError,
        )

        wrong_usage = (SettingsError, ManifestError, JobNotFound, ArtifactNotFound, ModelNotFound)
        try:
            return command(*args, **kwargs)
        except SavsError as error:
            _fail(str(error), kwargs.get("as_json", False), 2 if isinstance(error, wrong_usage) else 1)
        except KeyboardInterrupt:
            name = kwargs.get("name", "NAME")
            _fail(f"stopped; `savs-submit resume {name}`, or the same command again, goes on", False, 1)

    return run  # type: ignore[return-value]


def _fail(message: str, as_json: bool, code: int) -> NoReturn:
    if as_json:
        click.echo(json.dumps({"error": message}))
    click.echo(f"savs-submit: {message}", err=True)
    sys.exit(code)


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="savs", prog_name="savs-submit")
def main() -> None:
    """Labels image and video corpora from a few examples per class.

    \b
    savs-submit run --train train.jsonl --data corpus.jsonl --model qwen2.5_vl \\
        --workspace results --name pets
    """


@main.command()
@options(train_option, data_option, name_option)
@click.option("--model", required=True, help="A folder, an alias (demo, llava_ov, …) or a hub id.")
@options(workspace_option, broker_option, wait_option, fit_options, size_options, json_option)
@reports_errors
def run(
    train: str,
    data: str,
    name: str,
    model: str,
    workspace: str | None,
    broker: str | None,
    wait: bool,
    heads: int,
    readout: str,
    shard_size: int,
    batch_size: int,
    as_json: bool,
) -> None:
    """Fit on --train, then label --data.

    Example: savs-submit run --train train.jsonl --data corpus.jsonl --model demo
    --workspace results --name pets
    """
    from jobs.submitting import check_model, make_source, plan_classify, plan_extract

    ledger = _ledger(workspace)
    make_source(data, "--data")  # before anything is written
    check_model(model)
    first = plan_extract(name, model, train, heads, readout, shard_size, batch_size)
    after = first[0].job_id
    artifact = ledger.artifact_url(name, after)
    second = plan_classify(name, model, data, artifact, shard_size, batch_size, after)
    # Both are planned before one is written, so that whoever resumes finds both.
    _run(ledger, [ledger.create_job(*first), ledger.create_job(*second)], broker, wait, as_json)


@main.command()
@options(train_option, name_option)
@click.option("--model", required=True, help="A folder, an alias (demo, llava_ov, …) or a hub id.")
@options(workspace_option, broker_option, wait_option, fit_options, size_options, json_option)
@reports_errors
def extract(
    train: str,
    name: str,
    model: str,
    workspace: str | None,
    broker: str | None,
    wait: bool,
    heads: int,
    readout: str,
    shard_size: int,
    batch_size: int,
    as_json: bool,
) -> None:
    """Fit an artifact on labelled examples.

    Example: savs-submit extract --train train.jsonl --model demo --workspace results --name pets
    """
    from jobs.submitting import check_model, submit_extract

    ledger = _ledger(workspace)
    check_model(model)
    job = submit_extract(ledger, name, model, train, heads, readout, shard_size, batch_size)
    _run(ledger, [job], broker, wait, as_json)


@main.command()
@options(data_option, name_option)
@click.option("--artifact", required=True, help="A folder, s3:// address, NAME or NAME/VERSION.")
@click.option("--model", help="By default the model that made the artifact.")
@options(workspace_option, broker_option, wait_option, size_options, json_option)
@reports_errors
def classify(
    data: str,
    name: str,
    artifact: str,
    model: str | None,
    workspace: str | None,
    broker: str | None,
    wait: bool,
    shard_size: int,
    batch_size: int,
    as_json: bool,
) -> None:
    """Label a corpus with an artifact.

    Example: savs-submit classify --data corpus.jsonl --artifact pets --workspace results
    --name pets-monday
    """
    from jobs.submitting import artifact_model, check_model, find_artifact, submit_classify

    ledger = _ledger(workspace)
    found = find_artifact(ledger, artifact)
    model = model or artifact_model(found)
    check_model(model)
    job = submit_classify(ledger, name, model, data, found, shard_size, batch_size)
    _run(ledger, [job], broker, wait, as_json)


@main.command()
@click.argument("name")
@options(workspace_option, broker_option, wait_option, json_option)
@reports_errors
def resume(name: str, workspace: str | None, broker: str | None, wait: bool, as_json: bool) -> None:
    """Go on with the jobs of NAME where they stopped.

    Example: savs-submit resume pets --workspace results
    """
    ledger = _ledger(workspace)
    jobs = _jobs(ledger, name)
    for job in jobs:
        ledger.uncancel(job.job_id)
    _run(ledger, jobs, broker, wait, as_json)


@main.command()
@click.argument("name")
@options(workspace_option, broker_option, json_option)
@reports_errors
def watch(name: str, workspace: str | None, broker: str | None, as_json: bool) -> None:
    """Follow the newest jobs of NAME on a pool until they end.

    Example: savs-submit watch pets --workspace results --broker redis://localhost
    """
    from jobs.settings import broker_of

    ledger = _ledger(workspace)
    newest = {job.spec.kind: job for job in _jobs(ledger, name)}
    jobs = [newest[kind] for kind in ("extract", "classify") if kind in newest]
    _follow(ledger, jobs, broker_of(broker), as_json)


@main.command()
@click.argument("name")
@options(workspace_option, broker_option)
@reports_errors
def cancel(name: str, workspace: str | None, broker: str | None) -> None:
    """Stop the jobs of NAME; what is done stays, and `resume` goes on.

    Example: savs-submit cancel pets --workspace results
    """
    from jobs.broker import Broker
    from jobs.settings import broker_of
    from jobs.sweeping import cancel_job

    ledger, url = _ledger(workspace), broker_of(broker)
    for job in _jobs(ledger, name):
        if ledger.summary(job.job_id) is None:
            cancel_job(ledger, Broker(url) if url else None, job)
            click.echo(f"{job.job_id}: cancelled")
        else:
            click.echo(f"{job.job_id}: has ended")


@main.command()
@click.argument("name")
@options(workspace_option, json_option)
@reports_errors
def status(name: str, workspace: str | None, as_json: bool) -> None:
    """How far the jobs of NAME are.

    Example: savs-submit status pets --workspace results
    """
    ledger = _ledger(workspace)
    _print_states(ledger, _jobs(ledger, name), as_json)


@main.command("list")
@options(workspace_option, json_option)
@reports_errors
def list_jobs(workspace: str | None, as_json: bool) -> None:
    """All jobs of the workspace.

    Example: savs-submit list --workspace results
    """
    ledger = _ledger(workspace)
    _print_states(ledger, ledger.jobs(), as_json)


@main.command()
@click.argument("name")
@click.option("--out", type=click.Path(dir_okay=False), help="File to write; by default standard output.")
@workspace_option
@reports_errors
def results(name: str, out: str | None, workspace: str | None) -> None:
    """The newest labels of NAME: a JSON object per row, in manifest order.

    Example: savs-submit results pets --workspace results --out labels.jsonl
    """
    from savs.errors import JobNotFound, SettingsError

    ledger = _ledger(workspace)
    labelled = [job for job in _jobs(ledger, name) if job.spec.kind == "classify"]
    if not labelled:
        raise JobNotFound(f"{name!r} has no classify job in {ledger.workspace}")
    try:
        with click.open_file(out or "-", "wb", atomic=out is not None) as stream:
            for row in ledger.rows(labelled[-1].job_id):
                stream.write(row)
    except OSError as error:
        if out is None:
            raise  # click ends quietly where nobody reads standard output any more
        raise SettingsError(f"--out: {out} cannot be written: {error.strerror}") from error


@main.command()
@click.argument("name")
@options(workspace_option, json_option)
@reports_errors
def logs(name: str, workspace: str | None, as_json: bool) -> None:
    """Why rows of NAME's jobs failed: each kind of error, with examples.

    Example: savs-submit logs pets --workspace results
    """
    from jobs.progress import print_errors
    from jobs.reducing import summarize_errors

    ledger = _ledger(workspace)
    found = {job.job_id: summarize_errors(ledger.outcomes(job.job_id)) for job in _jobs(ledger, name)}
    if as_json:
        click.echo(json.dumps(found, ensure_ascii=False, indent=1))
    else:
        print_errors(found)


def _ledger(workspace: str | None) -> "Ledger":
    from jobs.ledger import Ledger
    from jobs.settings import workspace_of

    return Ledger(workspace_of(workspace))


def _jobs(ledger: "Ledger", name: str) -> "list[Job]":
    from savs.errors import JobNotFound

    jobs = ledger.jobs(name)
    if not jobs:
        known = sorted({job.spec.name for job in ledger.jobs()})
        raise JobNotFound(f"no job {name!r} in {ledger.workspace}; there is: {', '.join(known) or 'none'}")
    return jobs


def _print_states(ledger: "Ledger", jobs: "list[Job]", as_json: bool) -> None:
    from jobs.progress import print_jobs
    from jobs.status import job_state

    states = [job_state(ledger, job) for job in jobs]
    if as_json:
        click.echo(json.dumps(states, ensure_ascii=False, indent=1))
    else:
        print_jobs(states)


def _run(ledger: "Ledger", jobs: "list[Job]", broker: str | None, wait: bool, as_json: bool) -> None:
    """Hands `jobs` to a pool, or runs them to their end and exits with the code that says how it went."""
    from jobs.settings import broker_of

    if url := broker_of(broker):
        _enqueue(ledger, jobs, url, quiet=as_json and wait, as_json=as_json)
        if wait:
            _follow(ledger, jobs, url, as_json)
        return
    from jobs.progress import Bars
    from jobs.running import run_jobs

    with Bars(quiet=as_json) as bars:
        summaries = run_jobs(ledger, jobs, bars)
    _end(ledger, jobs, summaries, as_json)


def _end(ledger: "Ledger", jobs: "list[Job]", summaries: "list[dict[str, Any]]", as_json: bool) -> NoReturn:
    """Prints how `jobs` ended and exits with the code that says it."""
    from jobs.progress import print_summary
    from jobs.running import exit_code

    if as_json:
        click.echo(json.dumps(summaries, ensure_ascii=False, indent=1))
    else:
        for summary in summaries:
            print_summary(summary, ledger.job_url(summary["job_id"]))
        ended = {summary["job_id"] for summary in summaries}
        for job in [job for job in jobs if job.job_id not in ended]:
            click.echo(f"{job.job_id}: not run, because the job before it is not done")
    sys.exit(exit_code(summaries, len(jobs)))


def _follow(ledger: "Ledger", jobs: "list[Job]", url: str | None, as_json: bool) -> NoReturn:
    """Shows how a pool goes on until `jobs` have ended, and exits with the code that says how."""
    from jobs.attempts import Times
    from jobs.broker import Broker
    from jobs.progress import PoolBars
    from jobs.watching import follow

    with PoolBars(quiet=as_json) as bars:
        summaries = follow(ledger, Broker(url) if url else None, jobs, bars.show, Times())
    _end(ledger, jobs, summaries, as_json)


def _enqueue(ledger: "Ledger", jobs: "list[Job]", url: str, quiet: bool, as_json: bool) -> None:
    """Puts what can be run of `jobs` on a pool's queues."""
    from jobs.broker import Broker, gpu_queue
    from jobs.sweeping import enqueue_due

    broker = Broker(url)
    counts = enqueue_due(ledger, broker, jobs)
    alive = broker.workers(gpu_queue(jobs[0].spec.model))
    if quiet:
        return
    if as_json:
        click.echo(json.dumps({"jobs": [job.job_id for job in jobs], "enqueued": counts, "workers": alive}))
        return
    for job in jobs:
        ended = "has ended" if ledger.summary(job.job_id) else "waits for the job before it"
        click.echo(f"{job.job_id}: {'on the queue' if job.job_id in counts else ended}")
    if not alive:
        click.echo(
            f"no worker serves this model now; start one: savs-worker gpu --model {jobs[0].spec.model}",
            err=True,
        )


if __name__ == "__main__":
    main()

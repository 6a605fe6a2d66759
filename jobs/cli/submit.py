"""Commands that put work on its way: `run`, `extract`, `classify`, `resume`, `cancel`."""

import json
import sys
from typing import TYPE_CHECKING, Any, NoReturn

import click

from jobs.cli.group import (
    broker_option,
    data_option,
    fit_options,
    jobs_of,
    json_option,
    ledger_of,
    main,
    name_option,
    options,
    reports_errors,
    size_options,
    train_option,
    wait_option,
    workspace_option,
)

if TYPE_CHECKING:
    from jobs.ledger import Ledger
    from jobs.specs import Job


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

    ledger = ledger_of(workspace)
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

    ledger = ledger_of(workspace)
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

    ledger = ledger_of(workspace)
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
    ledger = ledger_of(workspace)
    jobs = jobs_of(ledger, name)
    for job in jobs:
        ledger.uncancel(job.job_id)
    _run(ledger, jobs, broker, wait, as_json)


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

    ledger, url = ledger_of(workspace), broker_of(broker)
    for job in jobs_of(ledger, name):
        if ledger.summary(job.job_id) is None:
            cancel_job(ledger, Broker(url) if url else None, job)
            click.echo(f"{job.job_id}: cancelled")
        else:
            click.echo(f"{job.job_id}: has ended")


def _run(ledger: "Ledger", jobs: "list[Job]", broker: str | None, wait: bool, as_json: bool) -> None:
    """Hands `jobs` to a pool, or runs them to their end and exits with the code that says how it went."""
    from jobs.settings import broker_of

    if url := broker_of(broker):
        _enqueue(ledger, jobs, url, quiet=as_json and wait, as_json=as_json)
        if wait:
            follow_jobs(ledger, jobs, url, as_json)
        return
    from jobs.progress import Bars
    from jobs.running import run_jobs

    with Bars(quiet=as_json) as bars:
        summaries = run_jobs(ledger, jobs, bars)
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


def follow_jobs(ledger: "Ledger", jobs: "list[Job]", url: str | None, as_json: bool) -> NoReturn:
    """Shows how a pool goes on until `jobs` have ended, and exits with the code that says how."""
    from jobs.attempts import Times
    from jobs.broker import Broker
    from jobs.progress import PoolBars
    from jobs.watching import follow

    with PoolBars(quiet=as_json) as bars:
        summaries = follow(ledger, Broker(url) if url else None, jobs, bars.show, Times())
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

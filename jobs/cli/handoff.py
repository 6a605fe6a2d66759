"""Hands jobs to a pool, or runs them in this process, and prints their progress and results."""

import json
import sys
from dataclasses import asdict
from shlex import quote
from typing import TYPE_CHECKING, Any, NoReturn

import click

from jobs.cli.options import Handing, How
from jobs.cli.output.characters import json_text, printable
from jobs.ledger.named import newest_of

if TYPE_CHECKING:
    from jobs.ledger.ledger import Ledger
    from jobs.queue.broker import Broker
    from jobs.records.job import Job


def submit_and_hand(ledger: "Ledger", jobs: "list[Job]", how: How) -> None:
    """Writes new jobs to the ledger, then hands them to a pool or runs them."""
    from jobs.settings import broker_of
    from jobs.submit.submission import submit

    _check_going(ledger, jobs)
    jobs = [job.model_copy(update={"report": how.report}) for job in jobs]
    if url := broker_of(how.broker):
        written = submit(ledger, jobs, plan_remote=how.plan == "here", tell=tell)
        _ask_to_notify(ledger, written, how.notify)
        _hand_to_pool(ledger, written, url, how, new=written == jobs)
        return
    from jobs.cli.output.progress import Bars
    from jobs.run.local import ModelLoader, load_before, run_jobs
    from jobs.shards.allowed_roots import Roots

    with Bars(quiet=how.as_json) as bars:
        models = ModelLoader(bars, not how.skip_self_test)
        written = submit(ledger, jobs, ready=lambda: load_before(ledger, jobs, models), tell=tell)
        _ask_to_notify(ledger, written, how.notify)
        summaries = run_jobs(ledger, written, bars, models, Roots.everywhere(how.allow_http))
    _end(ledger, written, summaries, how.as_json, how.verbose)


def _ask_to_notify(ledger: "Ledger", jobs: "list[Job]", url: str | None) -> None:
    """Has `url`, if given, told of the end of those of `jobs` that have not ended."""
    from jobs.ledger.notifications import ask_to_notify

    for job in jobs if url is not None else []:
        if url is not None and ledger.summary(job.job_id) is None:
            ask_to_notify(ledger, job.job_id, url)


def hand_on(ledger: "Ledger", jobs: "list[Job]", how: Handing) -> None:
    """Hands `jobs`, which exist, to a pool, or runs them to their end and exits with their exit code.

    Raises JobStopped if a job was cancelled, which `resume` undoes.
    """
    from jobs.settings import broker_of

    _check_going(ledger, jobs)
    _ask_to_notify(ledger, jobs, how.notify)
    if url := broker_of(how.broker):
        _hand_to_pool(ledger, jobs, url, how, new=False)
        return
    from jobs.cli.output.progress import Bars
    from jobs.run.local import ModelLoader, run_jobs
    from jobs.shards.allowed_roots import Roots

    with Bars(quiet=how.as_json) as bars:
        models = ModelLoader(bars, not how.skip_self_test)
        summaries = run_jobs(ledger, jobs, bars, models, Roots.everywhere(how.allow_http))
    _end(ledger, jobs, summaries, how.as_json, how.verbose)


def _check_going(ledger: "Ledger", jobs: "list[Job]") -> None:
    """Raises JobStopped if one of `jobs` was cancelled; warns if the workspace ignores conditions."""
    from savs.errors import JobStopped

    for job in jobs:
        if ledger.is_cancelled(job.job_id):
            why = ledger.why_cancelled(job.job_id) or f"continue: savs-submit resume {_called(ledger, job)}"
            raise JobStopped(f"{job.job_id} was cancelled: {why}")
    if not ledger.conditional:
        tell(
            f"savs-submit: {ledger.workspace} ignores conditional writes: if two workers run the same "
            "shard, the last commit counts"
        )


def _hand_to_pool(ledger: "Ledger", jobs: "list[Job]", url: str, how: Handing, *, new: bool) -> None:
    """Enqueues `jobs` and, with --wait, follows them to their end.

    new  True if the jobs were just written; otherwise lost units of the pool are requeued
    """
    from jobs.queue.timeouts import read_timeouts

    if how.wait:
        read_timeouts()  # raises an error before anything starts
    _enqueue(ledger, jobs, url, how.wait, how.as_json, new)
    if how.wait:
        follow_jobs(ledger, jobs, url, how.as_json, how.verbose)


def _enqueue(ledger: "Ledger", jobs: "list[Job]", url: str, wait: bool, as_json: bool, new: bool) -> None:
    """Enqueues those of `jobs` that can run, and prints which queues have no worker."""
    from jobs.queue.broker import Broker
    from jobs.queue.enqueue import enqueue_due
    from jobs.queue.timeouts import read_timeouts
    from jobs.records.message import CPU_QUEUE, gpu_queue
    from jobs.run.advance import act_as_cpu_worker
    from jobs.run.sweep import sweep

    broker, times = Broker(url), read_timeouts()
    counts = enqueue_due(ledger, broker, jobs)
    models = dict.fromkeys(job.spec.model for job in jobs if ledger.summary(job.job_id) is None)
    alive = {queue: broker.workers(queue) for queue in (*map(gpu_queue, models), CPU_QUEUE)}
    if not new:
        sweep(ledger, broker, times, at_once=True)
        if not alive[CPU_QUEUE]:
            act_as_cpu_worker(ledger, broker, jobs, times, tell)
    for model in models:
        if not alive[gpu_queue(model)]:
            tell(f"no worker is running for this model; start one: savs-worker gpu --model {quote(model)}")
    if models and not alive[CPU_QUEUE] and not wait:
        tell(
            "no cpu worker is running; start one: savs-worker cpu, or run in its place: "
            f"savs-submit watch {_called(ledger, jobs[-1])}"
        )
    if as_json and not wait:
        ids = [job.job_id for job in jobs]
        click.echo(json.dumps({"jobs": ids, "enqueued": counts, "workers": alive}))
    elif not as_json:
        for job in jobs:
            click.echo(f"{job.job_id}: {_whereabouts(ledger, broker, job)}")


def tell(text: str) -> None:
    from jobs.cli.output.advice import complete

    click.echo(printable(complete(text)), err=True)


def _whereabouts(ledger: "Ledger", broker: "Broker", job: "Job") -> str:
    from jobs.records.message import CPU_QUEUE, gpu_queue
    from jobs.reduce.status import is_due
    from jobs.shards.companions import is_carried

    if (summary := ledger.summary(job.job_id)) is not None:
        return f"has ended: {summary['status']}"
    if not ledger.is_planned(job.job_id):
        return "queued for planning by a cpu worker"
    if broker.board(CPU_QUEUE).left(job.job_id):
        return "all shards have ended; queued for reduction by a cpu worker"
    if left := broker.board(gpu_queue(job.spec.model)).left(job.job_id):
        return f"shards on the queue: {left}"
    if is_carried(ledger, job):
        return f"runs in the same pass as {job.beside}"
    return "its last shards have just ended" if is_due(ledger, job) else "waits for the job before it"


def follow_jobs(
    ledger: "Ledger", jobs: "list[Job]", url: str | None, as_json: bool, verbose: bool
) -> NoReturn:
    """Shows a pool's progress until `jobs` have ended, and exits with their exit code."""
    from jobs.cli.output.progress import pool_progress
    from jobs.queue.broker import Broker
    from jobs.queue.timeouts import read_timeouts
    from jobs.run.watch import follow

    times = read_timeouts()
    with pool_progress(as_json) as shown:
        summaries = follow(ledger, Broker(url) if url else None, jobs, shown.show, times, shown.tell)
    _end(ledger, jobs, summaries, as_json, verbose)


def _end(
    ledger: "Ledger", jobs: "list[Job]", summaries: "list[dict[str, Any]]", as_json: bool, verbose: bool
) -> NoReturn:
    """Prints the summaries of `jobs` and exits with their exit code."""
    from jobs.cli.output.advice import complete
    from jobs.cli.output.splits import print_splits
    from jobs.cli.output.summary import print_summary
    from jobs.ledger.reports import report_key
    from jobs.reduce.split_scores import split_scores
    from jobs.run.local import exit_code

    tables = split_scores(jobs, summaries)
    if as_json:
        found = [*summaries, *(asdict(table) for table in tables)]
        click.echo(json_text(found))
    else:
        for summary in summaries:
            has_report = ledger.store.exists(report_key(summary["job_id"]))
            print_summary(summary, ledger.job_url(summary["job_id"]), verbose, has_report)
        for table in tables:
            print_splits(table)
    ended = {summary["job_id"] for summary in summaries}
    for job in [job for job in jobs if job.job_id not in ended]:
        click.echo(printable(complete(f"{job.job_id}: {_why_not(ledger, job)}")), err=as_json)
    sys.exit(exit_code(summaries, len(jobs)))


def _called(ledger: "Ledger", job: "Job") -> str:
    """The argument for `resume`: the name, if this is one of its newest jobs, else the job's id."""
    newest = {one.job_id for one in newest_of(ledger, job.spec.name)}
    return job.spec.name if job.job_id in newest else job.job_id


def _why_not(ledger: "Ledger", job: "Job") -> str:
    from jobs.reduce.status import job_state

    state = job_state(ledger, job)
    if state["status"] in ("waiting", "blocked"):
        return "not run, because the job before it is not done"
    return ": ".join(filter(None, (state["status"], state["reason"])))

"""Hands jobs to a pool, or runs them here, and tells people how that goes."""

import json
import sys
from typing import TYPE_CHECKING, Any, NoReturn

import click

from jobs.cli.group import How

if TYPE_CHECKING:
    from jobs.ledger import Ledger
    from jobs.specs import Job


def submit_and_hand(ledger: "Ledger", jobs: "list[Job]", how: How) -> None:
    """Writes new jobs to the ledger and hands them on."""
    from jobs.settings import broker_of
    from jobs.submitting import submit

    url = broker_of(how.broker)
    written = submit(ledger, jobs, plan_remote=url is None or how.plan == "here")
    hand_on(ledger, written, how.broker, how.wait, how.as_json, how.allow_http)


def hand_on(
    ledger: "Ledger", jobs: "list[Job]", broker: str | None, wait: bool, as_json: bool, allow_http: bool
) -> None:
    """Hands `jobs` to a pool, or runs them to their end and exits with the code that says how it went.

    Raises JobStopped where one was cancelled, which `resume` undoes.
    """
    from jobs.settings import broker_of
    from jobs.times import read_times
    from savs.errors import JobStopped

    for job in jobs:
        if ledger.is_cancelled(job.job_id):
            why = ledger.why_cancelled(job.job_id) or f"savs-submit resume {job.spec.name} goes on"
            raise JobStopped(f"{job.job_id} was cancelled: {why}")
    if not ledger.conditional:
        click.echo(
            f"savs-submit: {ledger.workspace} ignores conditional writes: where two workers run the same "
            "shard, the last one counts",
            err=True,
        )
    if url := broker_of(broker):
        if wait:
            read_times()  # what is wrong with them is said before anything is begun
        _enqueue(ledger, jobs, url, quiet=as_json and wait, as_json=as_json)
        if wait:
            follow_jobs(ledger, jobs, url, as_json)
        return
    from jobs.guarding import Roots
    from jobs.progress import Bars
    from jobs.running import run_jobs

    with Bars(quiet=as_json) as bars:
        summaries = run_jobs(ledger, jobs, bars, Roots.everywhere(allow_http))
    _end(ledger, jobs, summaries, as_json)


def _enqueue(ledger: "Ledger", jobs: "list[Job]", url: str, quiet: bool, as_json: bool) -> None:
    """Puts what can be run of `jobs` on a pool's queues."""
    from jobs.broker import CPU_QUEUE, Broker, gpu_queue
    from jobs.enqueueing import enqueue_due

    broker = Broker(url)
    counts = enqueue_due(ledger, broker, jobs)
    model = jobs[0].spec.model
    needed = {
        gpu_queue(model): f"no worker serves this model now; start one: savs-worker gpu --model {model}",
        CPU_QUEUE: "no worker plans and reduces now; start one: savs-worker cpu",
    }
    alive = {queue: broker.workers(queue) for queue in needed}
    for queue, missing in needed.items():
        if not alive[queue]:
            click.echo(missing, err=True)
    if quiet:
        return
    if as_json:
        click.echo(json.dumps({"jobs": [job.job_id for job in jobs], "enqueued": counts, "workers": alive}))
        return
    for job in jobs:
        click.echo(f"{job.job_id}: {_whereabouts(ledger, job, counts)}")


def _whereabouts(ledger: "Ledger", job: "Job", counts: dict[str, int]) -> str:
    if job.job_id in counts:
        planned = ledger.is_planned(job.job_id)
        return "on the queue" if planned else "on the queue, to be planned by a cpu worker"
    summary = ledger.summary(job.job_id)
    return f"has ended: {summary['status']}" if summary else "waits for the job before it"


def follow_jobs(ledger: "Ledger", jobs: "list[Job]", url: str | None, as_json: bool) -> NoReturn:
    """Shows how a pool goes on until `jobs` have ended, and exits with the code that says how."""
    from jobs.broker import Broker
    from jobs.progress import PoolBars
    from jobs.times import read_times
    from jobs.watching import follow

    times = read_times()
    with PoolBars(quiet=as_json) as bars:
        summaries = follow(ledger, Broker(url) if url else None, jobs, bars.show, times)
    _end(ledger, jobs, summaries, as_json)


def _end(ledger: "Ledger", jobs: "list[Job]", summaries: "list[dict[str, Any]]", as_json: bool) -> NoReturn:
    """Prints how `jobs` ended and exits with the code that says it."""
    from jobs.printing import print_summary
    from jobs.running import exit_code

    if as_json:
        click.echo(json.dumps(summaries, ensure_ascii=False, indent=1))
    else:
        for summary in summaries:
            print_summary(summary, ledger.job_url(summary["job_id"]))
    ended = {summary["job_id"] for summary in summaries}
    for job in [job for job in jobs if job.job_id not in ended]:
        click.echo(f"{job.job_id}: {_why_not(ledger, job)}", err=as_json)
    sys.exit(exit_code(summaries, len(jobs)))


def _why_not(ledger: "Ledger", job: "Job") -> str:
    if not ledger.is_cancelled(job.job_id):
        return "not run, because the job before it is not done"
    why = ledger.why_cancelled(job.job_id)
    return f"cancelled: {why}" if why else "cancelled"

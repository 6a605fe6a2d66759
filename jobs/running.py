"""Runs jobs to their end in this process: what `savs-submit` does where there is no broker."""

from typing import TYPE_CHECKING, Any

from jobs.inprocess import InProcessQueue, Watcher, drain, enqueue
from jobs.ledger import Ledger
from jobs.specs import ClassifySpec, Job
from savs.errors import JobError

if TYPE_CHECKING:
    from savs.models import Model


def run_jobs(ledger: Ledger, jobs: list[Job], watcher: Watcher) -> list[dict[str, Any]]:
    """Runs `jobs`, or what of them has not run yet, and answers their summaries.

    A job that waits for another one runs once that one is done; where it failed there is no
    summary. Running jobs that are done changes nothing and loads no model.
    """
    queue = InProcessQueue()
    for job in jobs:
        if (
            not isinstance(job.spec, ClassifySpec)
            or job.spec.after is None
            or ((before := ledger.summary(job.spec.after)) and before["status"] == "done")
        ):
            enqueue(ledger, queue, job)
    drain(ledger, queue, load, watcher)
    return [s for job in jobs if (s := ledger.summary(job.job_id)) is not None]


def load(name: str) -> "Model":
    try:
        from transformers.utils.logging import disable_progress_bar

        from savs.models import load_model

        disable_progress_bar()  # the run has bars of its own
        return load_model(name)
    except ImportError as error:
        raise JobError(
            f"running jobs here needs {error.name}; install savs with its models: pip install 'savs[worker]'"
        ) from error


def exit_code(summaries: list[dict[str, Any]], jobs: int) -> int:
    """0 all done, 1 failed or incomplete, 3 done with failed items."""
    if len(summaries) < jobs or any(s["status"] != "done" for s in summaries):
        return 1
    return 3 if any(s["failed"] for s in summaries) else 0

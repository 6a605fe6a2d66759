"""Runs jobs to their end in this process: what `savs-submit` does where there is no broker."""

from typing import TYPE_CHECKING, Any

from jobs.ledger.ledger import Ledger
from jobs.records.job import Job
from jobs.reduce.status import is_due
from jobs.run.inprocess import InProcessQueue, Watcher, drain, enqueue
from jobs.shards.roots import Roots
from savs.errors import Changed, JobError, JobStopped

if TYPE_CHECKING:
    from savs.model.model import Model


def run_jobs(
    ledger: Ledger,
    jobs: list[Job],
    watcher: Watcher,
    roots: Roots | None = None,
    self_test: bool = True,
) -> list[dict[str, Any]]:
    """Runs `jobs` in order, or what of them has not run yet, and answers their summaries.

    A job that comes after one that is not done is left out. Running jobs that are done changes
    nothing and loads no model. Raises, once the other jobs have run, Changed where one's data is not
    what was planned, and JobStopped where a job's first rows mostly fail.
    """
    models: dict[str, Model] = {}

    def load_once(name: str) -> "Model":
        if name not in models:
            watcher.loading(name)
            models.clear()  # two models may not fit
            models[name] = load(name, self_test)
        return models[name]

    summaries, stopped = [], []
    for job in jobs:
        if not _is_done(ledger, job.job_id):
            if not is_due(ledger, job):
                continue
            queue = InProcessQueue()
            enqueue(ledger, queue, job)
            try:
                drain(ledger, queue, load_once, watcher, roots)
            except (Changed, JobStopped) as error:
                stopped.append(error)
        if (summary := ledger.summary(job.job_id)) is not None:
            summaries.append(summary)
    if stopped:
        raise stopped[0]
    return summaries


def _is_done(ledger: Ledger, job_id: str) -> bool:
    summary = ledger.summary(job_id)
    return summary is not None and summary["status"] == "done"


def load(name: str, self_test: bool = True) -> "Model":
    """The model `name`. Raises JobError where this installation has no models."""
    try:
        from transformers.utils.logging import disable_progress_bar

        from savs.loading import load_model

        disable_progress_bar()  # the run has bars of its own
        return load_model(name, self_test=self_test)
    except ImportError as error:
        raise JobError(
            f"running jobs here needs {error.name}; install savs with its models: pip install 'savs[worker]'"
        ) from error


def exit_code(summaries: list[dict[str, Any]], jobs: int) -> int:
    """0 all done, 1 failed or incomplete, 3 done with failed items."""
    if len(summaries) < jobs or any(s["status"] != "done" for s in summaries):
        return 1
    return 3 if any(s["failed"] for s in summaries) else 0

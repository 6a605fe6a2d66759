"""Runs jobs to their end in this process, as `savs-submit` does without a broker."""

from typing import TYPE_CHECKING, Any

from jobs.ledger.ledger import Ledger
from jobs.ledger.processes import forget_process
from jobs.records.job import Job
from jobs.reduce.status import is_due
from jobs.run.inprocess import InProcessQueue, Watcher, drain, enqueue
from jobs.run.signs_of_life import SignsOfLife
from jobs.shards.allowed_roots import Roots
from jobs.submit.checks import check_against_model
from savs.errors import Changed, JobError, JobStopped

if TYPE_CHECKING:
    from savs.model.model import Model


class ModelLoader:
    """Loads models, and keeps the last one: two may not fit into memory."""

    def __init__(self, watcher: Watcher, self_test: bool = True) -> None:
        self.watcher, self.self_test = watcher, self_test
        self.loaded: tuple[str, Model] | None = None

    def load(self, name: str) -> "Model":
        if self.loaded is None or self.loaded[0] != name:
            self.loaded = None
            with self.watcher.loading(name):
                self.loaded = name, load(name, self.self_test)
        return self.loaded[1]


def load_before(ledger: Ledger, jobs: list[Job], models: ModelLoader) -> None:
    """Load the models of those of `jobs` that are new, before anything is written of them. Raises as `load`
    and `check_against_model`."""
    for job in jobs:
        if not ledger.is_there(job.job_id):
            check_against_model(job.spec, models.load(job.spec.model))


def run_jobs(
    ledger: Ledger, jobs: list[Job], watcher: Watcher, models: ModelLoader, roots: Roots | None = None
) -> list[dict[str, Any]]:
    """Runs `jobs` in order, or the parts of them that have not run yet, and returns their summaries.

    A job that waits for another that is not done is skipped. Running jobs that are done changes nothing
    and loads no model. Raises, once the other jobs have run, Changed if a job's data has changed since it
    was planned, and JobStopped if a job's first rows mostly fail.
    """
    summaries, stopped = [], []
    unfinished = [job.job_id for job in jobs if not _is_done(ledger, job.job_id)]
    for job in jobs:
        if job.job_id not in unfinished:
            forget_process(ledger, job.job_id)  # of a run that was killed after this job's end
    with SignsOfLife(ledger, unfinished):
        for job in jobs:
            if job.job_id in unfinished:
                if not is_due(ledger, job):
                    continue
                queue = InProcessQueue()
                enqueue(ledger, queue, job)
                try:
                    drain(ledger, queue, models.load, watcher, roots)
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
    """Returns the model `name`. Raises JobError if savs is installed without its models."""
    try:
        from transformers.utils.logging import disable_progress_bar

        from savs.loading import load_model

        disable_progress_bar()  # the run shows its own bars
        return load_model(name, self_test=self_test)
    except ImportError as error:
        raise JobError(
            f"running jobs here needs {error.name}; install savs with its models: pip install 'savs[worker]'"
        ) from error


def exit_code(summaries: list[dict[str, Any]], jobs: int) -> int:
    """Returns 0 if all jobs are done, 1 if one failed or is incomplete, 3 if done with failed items."""
    if len(summaries) < jobs or any(s["status"] != "done" for s in summaries):
        return 1
    return 3 if any(s["failed"] for s in summaries) else 0

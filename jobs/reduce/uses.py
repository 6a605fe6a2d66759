"""Which jobs use an artifact, and how well it did."""

from collections import defaultdict
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from jobs.ledger.ledger import Ledger
from jobs.ledger.prefetch import prefetch
from jobs.records.job import ClassifySpec, Job
from savs.errors import SavsError


@dataclass(frozen=True)
class Use:
    """A classify job of an artifact.

    rows      None as long as the job has not ended
    accuracy  with its 95 % interval; None without labels
    """

    job_id: str
    submitted: datetime
    status: str
    rows: int | None = None
    accuracy: float | None = None
    interval: tuple[float, float] | None = None


def place(url: str) -> str:
    """Return the last two folders of an artifact's address, which in a workspace are its name and version.
    They stay the same if the workspace is copied."""
    return "/".join(url.rstrip("/").split("/")[-2:])


def uses_of_artifacts(ledger: Ledger) -> dict[str, list[Use]]:
    """Return for each artifact's `place` the workspace's jobs that use it, in order of submission. Jobs
    that cannot be read are left out: `savs-submit list` names them."""

    def use(job: Job) -> tuple[str, Use] | None:
        spec = job.spec
        if not isinstance(spec, ClassifySpec) or spec.artifact is None:
            return None
        try:
            summary: dict[str, Any] = ledger.summary(job.job_id) or {}
        except SavsError:
            summary = {}
        interval = summary.get("accuracy_interval")
        return place(spec.artifact), Use(
            job_id=job.job_id,
            submitted=job.submitted,
            status=summary.get("status", "not ended"),
            rows=summary.get("rows"),
            accuracy=summary.get("accuracy"),
            interval=None if interval is None else (interval[0], interval[1]),
        )

    found = defaultdict(list)
    for answer in prefetch(use, ledger.jobs(unreadable=lambda error: None)):
        if answer is not None:
            found[answer[0]].append(answer[1])
    return dict(found)

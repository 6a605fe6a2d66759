"""A job that was opened in Python: its rows, its summary, its report and its artifact. `savs.open_job`."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jobs.ledger.artifacts import artifact_of
from jobs.ledger.ledger import Ledger
from jobs.ledger.named import labelled_of
from jobs.ledger.reports import report_key
from jobs.ledger.results import result_rows
from jobs.records.job import ClassifySpec, Job
from jobs.reduce.status import job_state
from jobs.settings import set_up_environment, workspace_of
from savs.artifact.artifact import Artifact, load_artifact
from savs.data.result_table import to_arrow, to_pandas
from savs.errors import JobError, JobNotFound, NotFound, WrongType
from savs.storage import join

if TYPE_CHECKING:
    import pandas
    import pyarrow


def open_job(workspace: str | Path, name: str) -> "OpenedJob":
    """Return the newest job of `name` that labels a corpus.

    workspace  a folder or s3://bucket/prefix, as for `savs-submit --workspace`
    name       the name under which it was submitted, that of one of its splits or tasks, or a job's id

    Raises JobNotFound, which lists the names that there are; SettingsError (also a TypeError) for an argument
    of another type; StorageError if the workspace cannot be read.
    """
    for said, value in (("workspace", workspace), ("name", name)):
        if not isinstance(value, str | Path if said == "workspace" else str):
            raise WrongType(f"{said} is {value!r}, of type {type(value).__name__}; pass text")
    set_up_environment()
    place = workspace_of(str(workspace))
    if "://" not in place and not Path(place).is_dir():
        raise JobNotFound(
            f"there is no workspace {place}; pass the folder or s3:// address that was --workspace"
        )
    ledger = Ledger(place)
    found = labelled_of(ledger, name)
    if len(found) > 1:
        names = ", ".join(sorted(job.spec.name for job in found))
        raise JobNotFound(f"{name!r} has several tasks or splits; open one of them: {names}")
    return OpenedJob(ledger, found[0])


@dataclass(frozen=True, repr=False)
class OpenedJob:
    """A job that labels a corpus. Everything is read from its workspace when it is asked for."""

    ledger: Ledger
    job: Job

    def __repr__(self) -> str:
        return f"OpenedJob({self.id!r} in {self.ledger.workspace!r})"

    @property
    def id(self) -> str:
        return self.job.job_id

    @property
    def name(self) -> str:
        return self.job.spec.name

    def rows(self) -> Iterator[dict[str, Any]]:
        """Yield the result rows (docs/ledger.md) of the shards that are done, in the manifest's order. Raises
        LedgerError if nothing is planned yet."""
        return map(json.loads, result_rows(self.ledger, self.id))

    def to_pandas(self) -> "pandas.DataFrame":
        """Return the rows as a DataFrame: the columns of docs/exports.md, of which `votes`, `scores` and
        `extra` are dicts. Raises NotInstalled if pandas is not installed."""
        return to_pandas(self.rows())

    def to_arrow(self) -> "pyarrow.Table":
        """Return the rows as an Arrow table, as in a Parquet export. Raises NotInstalled without pyarrow."""
        return to_arrow(self.rows())

    @property
    def summary(self) -> dict[str, Any]:
        """The job's `summary.json`: counts, scores, times. Raises JobError if the job has not ended."""
        found = self.ledger.summary(self.id)
        if found is None:
            state = job_state(self.ledger, self.job)
            raise JobError(
                f"{self.id} has no summary yet: it is {state['status']}, {state['rows_done']} of "
                f"{state['rows']} rows are done; see: savs-submit status {self.name}"
            )
        return found

    @property
    def report(self) -> str:
        """The path or s3:// address of the job's report, a page of HTML. Raises NotFound if none was made."""
        if not self.ledger.store.exists(report_key(self.id)):
            raise NotFound(f"{self.id} has no report yet; make it: savs-submit report {self.name}")
        return join(self.ledger.workspace, report_key(self.id))

    @property
    def artifact(self) -> Artifact | None:
        """The artifact that labelled the rows; None of a zero-shot job. Raises ArtifactNotFound if it was
        deleted, or is not made yet."""
        assert isinstance(self.job.spec, ClassifySpec)
        address = artifact_of(self.ledger, self.job.spec)
        return None if address is None else load_artifact(address)

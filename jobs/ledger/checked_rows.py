"""The result rows of a job, of which none is something that no worker writes: without a hash in its commit, a
part may be anything."""

import json
from collections.abc import Iterator
from functools import cache
from typing import Any, Required

from pydantic import ConfigDict, TypeAdapter
from typing_extensions import TypedDict

from jobs.ledger.ledger import Ledger
from jobs.ledger.results import result_rows
from jobs.records.job import Job
from jobs.records.summary import Count, Rate
from savs.errors import LedgerError, why_invalid

Row = dict[str, Any]


class _Error(TypedDict):
    kind: str
    message: str


class _Row(TypedDict, total=False):
    """The fields of a result row (docs/ledger.md) that reports and comparisons use. Others are left out."""

    __pydantic_config__ = ConfigDict(strict=True, hide_input_in_errors=True)  # type: ignore[misc]

    index: Required[Count]
    id: Required[str]
    task: str
    media: list[str]
    prediction: str | None
    predictions: list[str]
    votes: dict[str, Count]
    confidence: Rate
    margin: Rate
    scores: dict[str, Rate]
    label: str | list[str]
    notes: list[str]
    error: _Error


def checked_rows(ledger: Ledger, job: Job) -> Iterator[Row]:
    """Yield the current rows of a classify job in manifest order, as `result_rows` does. Raises LedgerError
    if one is not a result row."""
    rows, adapter = ledger.planned(job.job_id).rows, _adapter()
    for line in result_rows(ledger, job.job_id):
        try:
            row: Row = adapter.validate_python(json.loads(line))
            if row["index"] >= rows:
                raise ValueError(f"its index is {row['index']}, and the job has {rows} rows")
            if "error" not in row and "predictions" not in row and "prediction" not in row:
                raise ValueError("it has neither a prediction nor an error")
        except (ValueError, RecursionError) as error:
            raise LedgerError(
                f"a line of a part of {job.job_id} is not a result row: "
                f"{why_invalid(error, _Row.__annotations__)}"
            ) from error
        yield row


@cache
def _adapter() -> "TypeAdapter[Any]":
    return TypeAdapter(_Row)

"""The current rows of a job: those of its shards, replaced by their retries if there are any."""

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from pydantic import TypeAdapter

from jobs.ledger.ledger import Ledger
from jobs.records.job import Job
from jobs.records.outcome import Outcome
from jobs.records.row import ExampleRow
from savs.engine.vectors import metadata_of
from savs.errors import LedgerError, why_invalid

if TYPE_CHECKING:
    import numpy as np

EXAMPLES: TypeAdapter[list[ExampleRow]] = TypeAdapter(list[ExampleRow])


def result_rows(ledger: Ledger, job_id: str) -> Iterator[bytes]:
    """Yield the result rows of a classify job's finished shards in manifest order, one line each.

    Retried rows are held in memory, all others a few shards at a time.
    """
    planned = ledger.planned(job_id)
    size = len(planned.plan)
    committed = ledger.committed(job_id)
    redone: dict[int, dict[int, bytes]] = {}  # shard → index → line
    for _, data in ledger.parts(job_id, ledger.outcomes(job_id, (n for n in committed if n >= size))):
        for line in data.splitlines(keepends=True):
            index = _index(line)
            redone.setdefault(index // planned.plan.shard_rows, {})[index] = line
    given_up = {n for n in redone if n in committed}
    for outcome, data in ledger.parts(job_id, ledger.outcomes(job_id, (n for n in committed if n < size))):
        yield from _dead_before(outcome.shard, given_up, redone)
        lines = data.splitlines(keepends=True)
        if outcome.shard in redone:
            given_up.discard(outcome.shard)
            later = redone.pop(outcome.shard)
            lines = [later.get(_index(line), line) for line in lines]
        yield from lines
    yield from _dead_before(size, given_up, redone)


def _dead_before(shard: int, given_up: set[int], redone: dict[int, dict[int, bytes]]) -> Iterator[bytes]:
    """Yield the retried rows of shards before `shard` that have no part of their own."""
    for number in sorted(n for n in given_up if n < shard):
        given_up.discard(number)
        yield from (line for _, line in sorted(redone.pop(number).items()))


def _index(line: bytes) -> int:
    return int(_row(line)["index"])


def _row(line: bytes) -> dict[str, Any]:
    """Parse a result row. Raises LedgerError if it is none: without a hash in its commit, a part may be
    anything."""
    try:
        row: dict[str, Any] = json.loads(line)
        if type(row["index"]) is int and isinstance(row.get("error") or {}, dict):
            return row
        why = "its index or its error is of the wrong type"
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        why = _why(error)
    raise LedgerError(f"a line of a part is not a result row: {why}")


def _why(error: Exception) -> str:
    return f"it has no {error}" if isinstance(error, KeyError) else why_invalid(error)


def row_errors(ledger: Ledger, job: Job, outcome: Outcome) -> Iterator[tuple[int, str | None]]:
    """Yield index and kind of error (None: no error) of every row in a finished shard's part."""
    data = ledger.read_part(job.job_id, outcome)
    if job.spec.kind != "classify":
        yield from ((row.index, row.error.kind if row.error else None) for row in example_rows(data, outcome))
        return
    for line in data.splitlines():
        row = _row(line)
        yield row["index"], (row.get("error") or {}).get("kind")


def examples(ledger: Ledger, job: Job) -> "tuple[list[ExampleRow], np.ndarray, str]":
    """Return every example of an extract job whose shards are done, in manifest order.

    The tuple holds the examples, the vectors float32 [n, width] of those without an error, and
    their `Origin` in JSON. Raises LedgerError if the shards were run with different models.
    """
    import numpy as np
    from safetensors import SafetensorError
    from safetensors.numpy import load

    found: dict[int, tuple[ExampleRow, np.ndarray | None]] = {}
    origins = set()
    for outcome, data in ledger.parts(job.job_id, ledger.outcomes(job.job_id)):
        rows = example_rows(data, outcome)
        try:
            vectors = iter(load(data)["vectors"])
            found |= {row.index: (row, None if row.error else next(vectors)) for row in rows}
            origins.add(metadata_of(data)["origin"])
        except (SafetensorError, KeyError, ValueError, StopIteration) as error:
            raise LedgerError(
                f"job {job.job_id}: part {outcome.part} is not usable: {_why(error)}"
            ) from error
    if len(origins) != 1:
        raise LedgerError(f"job {job.job_id}: its shards were run with different models")
    pairs = [found[index] for index in sorted(found)]
    read = [vector for _, vector in pairs if vector is not None]
    return [row for row, _ in pairs], np.stack(read) if read else np.zeros((0, 0), np.float32), origins.pop()


def example_rows(data: bytes, outcome: Outcome) -> list[ExampleRow]:
    """Return the examples that are stored with the vectors in an extract job's part."""
    try:
        return EXAMPLES.validate_json(metadata_of(data)["rows"])
    except (ValueError, KeyError, TypeError) as error:
        raise LedgerError(f"part {outcome.part} is not usable: {_why(error)}") from error

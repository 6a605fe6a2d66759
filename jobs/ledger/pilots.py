"""A pilot's rows: those that were drawn from the corpus, and the answers to them, which its corpus is not
asked again."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from pydantic import TypeAdapter

from jobs.ledger.ledger import SAMPLE, Ledger
from jobs.ledger.results import example_rows
from jobs.records.plan import Shard
from jobs.records.row import ExampleRow
from savs.data.media import Digest
from savs.data.rows import Line
from savs.errors import LedgerError, NotFound, why_invalid
from savs.readout.decision import Rule

if TYPE_CHECKING:
    import numpy as np

    from savs.engine.vectors import HeadVectors

ANSWERS = "answers.safetensors"
ROWS: TypeAdapter[list[ExampleRow]] = TypeAdapter(list[ExampleRow])


@dataclass(frozen=True)
class KnownRow:
    """The answer to a row that a pilot has read.

    values   what the readout's `read` returns for it
    digests  of its media
    notes    as in a `ResultRow`
    """

    values: tuple[float, ...]
    digests: tuple[Digest, ...]
    notes: tuple[str, ...] | None


def sample_line(line: Line) -> bytes:
    """Return a row of a manifest as a line of a pilot's sample. Its bytes need not be text."""
    text = line.data.decode("utf-8", "surrogateescape")
    return json.dumps({"index": line.index, "line": line.number, "text": text}).encode() + b"\n"


def sample_rows(ledger: Ledger, job_id: str, shard: Shard) -> list[Line]:
    """Return the rows of a pilot's shard, with their index and line in the corpus. Raises LedgerError."""
    try:
        data = ledger.store.read_range(f"jobs/{job_id}/{SAMPLE}", shard.offset, shard.length)
        found = [json.loads(line) for line in data.splitlines()]
        texts = [one["text"].encode("utf-8", "surrogateescape") for one in found]
        return [
            Line(int(one["index"]), int(one["line"]), 0, len(text), text)
            for one, text in zip(found, texts, strict=True)
        ]
    except NotFound as error:
        raise LedgerError(f"job {job_id}: {SAMPLE} is missing; delete the job and submit it again") from error
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise LedgerError(f"job {job_id}: {SAMPLE} is not usable: {why_invalid(error)}") from error


def pilot_vectors(ledger: Ledger, job_id: str) -> "tuple[list[ExampleRow], HeadVectors | None]":
    """Return a pilot's rows that have vectors, in the order of the corpus, and these vectors; None without
    any. Raises LedgerError if its shards were run with different models."""
    from savs.engine.vectors import HeadVectors, vectors_from_bytes
    from savs.errors import ArtifactError, FitError

    rows: list[ExampleRow] = []
    parts = []
    for outcome, data in ledger.parts(job_id, ledger.outcomes(job_id)):
        good = [row for row in example_rows(data, outcome) if row.error is None]
        try:
            vectors = vectors_from_bytes(data, outcome.part or "")
        except ArtifactError as error:
            raise LedgerError(f"job {job_id}: {error}") from error
        if len(vectors) != len(good):
            raise LedgerError(
                f"job {job_id}: part {outcome.part} has {len(vectors)} vectors for {len(good)} rows"
            )
        rows += good
        parts.append(vectors)
    try:
        return rows, HeadVectors.concat(parts) if parts else None
    except FitError as error:
        raise LedgerError(f"job {job_id}: its shards were run with different models") from error


@dataclass(frozen=True)
class Known:
    """What a pilot has found: the answers to its rows, by index, and the rule of its corpus' predictions."""

    rows: Mapping[int, KnownRow]
    rule: Rule | None


NOTHING = Known({}, None)


def write_answers(
    ledger: Ledger, job_id: str, rows: Sequence[ExampleRow], values: "np.ndarray", rule: Rule
) -> None:
    """Store `values` float32 [n, width of the readout] of a pilot's rows, before the rule is applied."""
    from safetensors.numpy import save

    from savs.engine.vectors import in_order

    described = ROWS.dump_json(list(rows), exclude_defaults=True).decode()
    data = save({"values": values}, {"rows": described, "rule": rule.model_dump_json()})
    ledger.store.write(f"jobs/{job_id}/{ANSWERS}", in_order(data))


def known_of(ledger: Ledger, job_id: str) -> Known:
    """Return what a pilot has found; nothing if it was deleted."""
    try:
        data = ledger.store.read(f"jobs/{job_id}/{ANSWERS}")
    except NotFound:
        return NOTHING
    return _parsed(job_id, data)


@lru_cache(maxsize=4)  # of a worker's present jobs: a shard needs few of the rows
def _parsed(job_id: str, data: bytes) -> Known:
    from safetensors import SafetensorError
    from safetensors.numpy import load

    from savs.engine.vectors import metadata_of

    try:
        found = metadata_of(data)
        values = load(data)["values"].tolist()
        rows = {
            row.index: KnownRow(tuple(one), row.digests, row.notes)
            for row, one in zip(ROWS.validate_json(found["rows"]), values, strict=True)
        }
        return Known(rows, Rule.model_validate_json(found["rule"]))
    except (SafetensorError, KeyError, ValueError, TypeError) as error:
        raise LedgerError(f"job {job_id}: {ANSWERS} is not usable: {why_invalid(error)}") from error

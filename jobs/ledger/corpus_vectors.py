"""The head vectors of a corpus that was labelled with `--keep-vectors`: read again part by part, without a
model."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from heapq import merge
from itertools import groupby, pairwise
from typing import TYPE_CHECKING

from jobs.ledger.ledger import Ledger
from jobs.ledger.pilots import ROWS, pilot_vectors
from jobs.records.job import ClassifySpec, awaited, is_pilot
from jobs.records.outcome import KeptVectors
from jobs.records.retries import Planned
from jobs.records.row import ExampleRow
from savs.engine.vectors import HeadVectors, metadata_of, vectors_from_bytes
from savs.errors import ArtifactError, LedgerError, why_invalid

if TYPE_CHECKING:
    import numpy as np

    from savs.model.heads import HeadLayout

Found = tuple[ExampleRow, "np.ndarray"]  # a row, and its vector float32 [layout.width]


@dataclass(frozen=True)
class CorpusVectors:
    """The kept head vectors of a classify job, as far as it has got. Iterating yields (rows, vectors): of a
    planned shard that has any, its n rows with vectors, and these, float32 [n, layout.width].

    The rows are in the order of the corpus, each once. A row has its index, id, media, label, and the
    question that it was asked. About two parts are in memory at a time, one more per retry, and the vectors
    of the pilot's rows. Iterating raises LedgerError if an object is missing, damaged, or from another model.

    origin   of the vectors: the model and how items were shown to it, a `savs.artifact.manifest.Origin` as
             JSON; None if there are no vectors
    rows     how many rows have vectors
    missing  how many labelled rows have none, since their pilot, which read them, was deleted
    """

    ledger: Ledger
    job_id: str
    kept: Sequence[tuple[int, KeptVectors]]
    planned: Planned
    pilot: "Mapping[int, np.ndarray]"
    layout: "HeadLayout | None"
    origin: str | None
    rows: int
    missing: int

    def __len__(self) -> int:
        return self.rows

    def __iter__(self) -> Iterator[tuple[list[ExampleRow], HeadVectors]]:
        import numpy as np

        if self.layout is None:
            return
        size = self.planned.plan.shard_rows
        # The plan's rows ascend, and so do those of each retry: each of these is one stream.
        streams: dict[int | None, list[tuple[int, KeptVectors]]] = {}
        for number, one in self.kept:
            streams.setdefault(self.planned.shard(number).retry, []).append((number, one))
        found = merge(*(self._found(parts) for parts in streams.values()), key=lambda one: one[0].index)
        for _, group in groupby(found, key=lambda one: one[0].index // size):
            latest = {row.index: (row, vector) for row, vector in group}  # later streams come last
            yield (
                [row for row, _ in latest.values()],
                HeadVectors(self.layout, np.stack([vector for _, vector in latest.values()])),
            )

    def _found(self, parts: Sequence[tuple[int, KeptVectors]]) -> Iterator[Found]:
        for number, kept in parts:
            own, pilot, vectors, origin = _read(self.ledger, self.job_id, kept)
            if (vectors.layout, origin) != (self.layout, self.origin):
                raise LedgerError(f"job {self.job_id}: its shards were run with different models")
            indices = [row.index for row in own] + [row.index for row in pilot]
            if len(indices) != len({*indices} & {*self._indices(number)}):
                raise LedgerError(f"job {self.job_id}: {kept.name} has rows of another shard")
            read = [(row, self.pilot[row.index]) for row in pilot if row.index in self.pilot]
            yield from merge(zip(own, vectors.values, strict=True), read, key=lambda one: one[0].index)

    def _indices(self, number: int) -> Iterable[int]:
        shard = self.planned.shard(number)
        if shard.retry is not None:
            return self.planned.redone(number)[1].indices
        return range(shard.first_index, shard.first_index + shard.rows)


def corpus_vectors(ledger: Ledger, job_id: str) -> CorpusVectors:
    """Return the head vectors that a classify job has kept. Raises LedgerError if it keeps none, and
    JobNotFound."""
    spec = ledger.job(job_id).spec
    if not isinstance(spec, ClassifySpec) or spec.keep_vectors is None:
        raise LedgerError(
            f"job {job_id} kept no head vectors; label the corpus again with --keep-vectors heads, or "
            "--keep-vectors all for readouts with other heads"
        )
    outcomes = ledger.outcomes(job_id)
    kept = [(outcome.shard, outcome.kept) for outcome in outcomes if outcome.kept is not None]
    layout, origin = None, None
    if kept:
        _, _, vectors, origin = _read(ledger, job_id, kept[0][1])
        layout = vectors.layout
    read = {index for _, one in kept for index in one.pilot}
    pilot = _of_pilot(ledger, job_id, awaited(spec), read, layout) if layout is not None and read else {}
    rows = sum(one.rows for _, one in kept) + len(pilot)
    return CorpusVectors(
        ledger, job_id, kept, ledger.planned(job_id), pilot, layout, origin, rows, len(read) - len(pilot)
    )


def _of_pilot(
    ledger: Ledger, job_id: str, pilot: str | None, wanted: set[int], layout: "HeadLayout"
) -> "dict[int, np.ndarray]":
    """Return the vectors of the rows in `wanted` that the pilot has read; none if it was deleted."""
    if pilot is None or not is_pilot(pilot):
        return {}
    rows, vectors = pilot_vectors(ledger, pilot)
    if vectors is None:
        return {}
    try:
        own = vectors.part(layout)
    except ArtifactError as error:
        raise LedgerError(f"job {job_id}: its pilot {pilot} was run with another model") from error
    return {row.index: vector for row, vector in zip(rows, own.values, strict=True) if row.index in wanted}


def _read(
    ledger: Ledger, job_id: str, kept: KeptVectors
) -> tuple[list[ExampleRow], list[ExampleRow], HeadVectors, str]:
    """Return what is in a shard's vectors: their rows, the pilot's rows, the vectors and their origin."""
    data = ledger.read_vectors(job_id, kept)
    try:
        said = metadata_of(data)
        own, pilot = ROWS.validate_json(said["rows"]), ROWS.validate_json(said["pilot"])
        vectors, origin = vectors_from_bytes(data, kept.name), said["origin"]
    except (ArtifactError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise LedgerError(f"job {job_id}: {kept.name} is not usable: {why_invalid(error)}") from error
    ascending = all(a.index < b.index for rows in (own, pilot) for a, b in pairwise(rows))
    if len(own) != len(vectors) or not ascending:
        raise LedgerError(f"job {job_id}: {kept.name} does not have the rows that it names")
    return own, pilot, vectors, origin

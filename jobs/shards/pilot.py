"""The result of a pilot's shard: the head vectors of its rows, all heads."""

import json
from typing import TYPE_CHECKING

from jobs.records.job import PilotSpec
from jobs.records.row import ExampleRow, RowError
from jobs.shards.requests import budget_of, requests_of
from jobs.shards.result import Progress, ShardResult, notes_of
from jobs.shards.rows import ManifestRow, ShardRows
from savs.errors import ItemError
from savs.scores.metrics import Tally
from savs.scores.scored import Scored

if TYPE_CHECKING:
    from savs.data.media import Digest
    from savs.model.model import Model
    from savs.timings import Timings


def read_vectors(unit: ShardRows, model: "Model", timings: "Timings", progress: Progress) -> ShardResult:
    """Read the head vectors of the unit's rows, shown as the artifact's examples were. The part is a file of
    `savs.engine.vectors`, with the rows in its metadata. Raises SavsError if the artifact cannot be used."""
    import numpy as np

    from savs.artifact.artifact import load_artifact
    from savs.engine.extract import stream
    from savs.engine.vectors import HeadVectors, vectors_to_bytes

    spec = unit.job.spec
    assert isinstance(spec, PilotSpec)
    artifact = load_artifact(spec.artifact, unit.inside)
    model = artifact.prepared(model)
    found: dict[int, np.ndarray] = {}
    digests: dict[int, tuple[Digest, ...]] = {}
    errors = unit.errors
    progress(len(errors))
    question = artifact.manifest.question
    requests, budget = requests_of(unit, question), budget_of(unit.job, model)
    for part in stream(model, requests, timings, hashed=lambda size: True, budget=budget):
        if part.values is not None:
            found.update(zip(part.numbers, part.values.numpy(), strict=True))
        digests.update(part.digests)
        errors.update(part.errors)
        progress(len(part.numbers) + len(part.errors))
    rows = [
        _row(entry, spec.name, question, digests.get(entry.index, ()), errors.get(entry.index))
        for entry in unit.entries
    ]
    vectors = [found[row.index] for row in rows if row.error is None]
    stacked = np.stack(vectors) if vectors else np.zeros((0, model.layout.width), np.float32)
    described = json.dumps([row.model_dump(exclude_none=True) for row in rows])
    tally = Tally()
    for row in rows:
        tally.add(Scored(row.index, error=row.error.kind if row.error else None))
    part_bytes = vectors_to_bytes(HeadVectors(model.layout, stacked), {"rows": described})
    return ShardResult(rows, ".safetensors", part_bytes, tally)


def _row(
    entry: ManifestRow,
    task: str,
    question: str | None,
    digests: "tuple[Digest, ...]",
    error: ItemError | None,
) -> ExampleRow:
    sample = entry.sample
    return ExampleRow(
        index=entry.index,
        id=sample.id if sample else str(entry.index),
        task=task,
        media=sample.media if sample else (),
        question=(sample.question or question) if sample else None,
        sha256=() if error else tuple(digest.sha256 for digest in digests if digest.sha256 is not None),
        sizes=() if error else tuple(digest.size for digest in digests),
        notes=None if error or sample is None else notes_of(sample, digests),
        error=RowError(kind=error.kind, message=str(error)) if error else None,
    )

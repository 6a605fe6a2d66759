"""The result of a shard of labelled examples: their head vectors, stored with the examples."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from jobs.records.job import ExtractSpec
from jobs.records.row import ExampleRow, RowError
from jobs.shards.requests import budget_of, share_requests
from jobs.shards.result import Progress, ShardResult
from jobs.shards.reuse import find_stored
from jobs.shards.rows import ManifestRow, ShardRows
from savs.errors import ItemError
from savs.scores.metrics import Tally
from savs.scores.scored import Scored

if TYPE_CHECKING:
    import numpy as np

    from savs.data.media import Digest
    from savs.model.model import Model
    from savs.timings import Timings


def read_examples(
    units: Sequence[ShardRows], model: "Model", timings: "Timings", progress: Progress
) -> Iterator[ShardResult]:
    """Read the head vectors of all units' entries in one pass; each part is a safetensors file of them.

    `vectors` float32 [n, width] has a row for every example without an error; the examples are in
    the file's metadata. Items of all units are shown as those of the first.
    """
    from savs.artifact.artifact import describe
    from savs.engine.extract import stream

    assert isinstance(units[0].job.spec, ExtractSpec)
    model = model.shown(**dict(units[0].job.spec.prompt))
    found: list[dict[int, np.ndarray]] = [{} for _ in units]
    digests: list[dict[int, tuple[Digest, ...]]] = [{} for _ in units]
    units = [_without_stored(*one, model) for one in zip(units, found, digests, strict=True)]
    asked = share_requests(units, [None] * len(units))
    errors = [unit.errors for unit in units]
    progress(len(errors[0]) + len(found[0]))
    budget = budget_of(units[0].job, model)
    for part in stream(model, asked.requests, timings, hashed=lambda size: True, budget=budget):
        read = {} if part.values is None else dict(zip(part.numbers, part.values.numpy(), strict=True))
        for place in range(len(units)):
            found[place].update(asked.of(place, read))
            digests[place].update(asked.of(place, part.digests))
            errors[place].update(asked.of(place, part.errors))
        progress(asked.rows(0, (*part.numbers, *part.errors)))
    origin, width = describe(model).model_dump_json(), model.layout.width
    for one in zip(units, found, digests, errors, strict=True):
        yield _ending(*one, origin, width)


def _without_stored(
    unit: ShardRows,
    found: "dict[int, np.ndarray]",
    digests: "dict[int, tuple[Digest, ...]]",
    model: "Model",
) -> ShardRows:
    """Fill in what an artifact has stored of the unit's examples, and return the unit without them as rows
    that are to be read. Raises ArtifactMismatch if the artifact shows items in another way."""
    from savs.artifact.artifact import load_examples

    assert isinstance(unit.job.spec, ExtractSpec)
    if not unit.job.spec.reuse:
        return unit
    artifacts = [load_examples(url, unit.inside) for url in unit.job.spec.reuse]
    for artifact in artifacts:
        artifact.check(model)
    stored = find_stored(artifacts, unit.samples)
    found.update((index, one.vector) for index, one in stored.items())
    digests.update((index, one.digests) for index, one in stored.items())
    return replace(unit, read=frozenset(stored))


def _ending(
    unit: ShardRows,
    found: "dict[int, np.ndarray]",
    digests: "dict[int, tuple[Digest, ...]]",
    errors: dict[int, ItemError],
    origin: str,
    width: int,
) -> ShardResult:
    import numpy as np
    from safetensors.numpy import save

    rows = [
        _example_row(entry, unit.job.spec.name, digests.get(entry.index, ()), errors.get(entry.index))
        for entry in unit.entries
    ]
    tally = Tally()
    for row in rows:
        kind = row.error.kind if row.error else None
        label = None if kind else row.label
        if isinstance(label, tuple):
            tally.add(Scored(row.index, predictions=label))
        else:
            tally.add(Scored(row.index, prediction=label, error=kind))
    described = json.dumps([row.model_dump(exclude_none=True) for row in rows])
    vectors = [found[row.index] for row in rows if row.error is None]
    stacked = np.stack(vectors) if vectors else np.zeros((0, width), np.float32)
    part = save({"vectors": stacked}, {"rows": described, "origin": origin})
    return ShardResult(rows, ".safetensors", part, tally)


def _example_row(
    entry: ManifestRow, task: str, digests: "tuple[Digest, ...]", error: ItemError | None
) -> ExampleRow:
    sample = entry.sample
    assert sample is not None and sample.label is not None, "the plan has validated every row"
    return ExampleRow(
        index=sample.index,
        id=sample.id,
        task=task,
        media=sample.media,
        question=sample.question,
        label=sample.label,
        sha256=() if error else tuple(digest.sha256 for digest in digests if digest.sha256 is not None),
        sizes=() if error else tuple(digest.size for digest in digests),
        error=RowError(kind=error.kind, message=str(error)) if error else None,
    )

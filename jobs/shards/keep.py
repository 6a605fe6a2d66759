"""Keeps the head vectors of a shard's rows, so that its corpus can be labelled again without the model."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from jobs.records.job import Kept
from jobs.records.row import ExampleRow, ResultRow
from jobs.shards.result import KeptRows
from jobs.shards.rows import ShardRows

if TYPE_CHECKING:
    import numpy as np
    import torch

    from savs.artifact.manifest import Origin
    from savs.data.media import Digest
    from savs.model.heads import HeadLayout
    from savs.readout.classify import AnyReadout


def kept_layout(kept: Kept | None, readout: "AnyReadout") -> "HeadLayout | None":
    """Return the heads whose vectors are kept of rows that `readout` labels; None if none are."""
    if kept is None:
        return None
    if kept == "all":
        return readout.layout
    return readout.layout.part({(int(layer), int(head)) for layer, head in readout.heads})


@dataclass(frozen=True)
class Keeping:
    """The head vectors of a unit's rows that are kept.

    layout  of its heads
    found   row's index → float32 [layout.width], of the rows that the model has read
    """

    unit: ShardRows
    layout: "HeadLayout"
    found: "dict[int, np.ndarray]" = field(default_factory=dict)

    def written(
        self,
        rows: Iterable[ResultRow],
        question: str | None,
        digests: "Mapping[int, Sequence[Digest]]",
        origin: "Origin",
    ) -> KeptRows:
        """Return the unit's vectors as a file of `savs.engine.vectors`. Its metadata have the `origin`; in
        `rows` the row of each vector, in their order; and in `pilot` the rows that were labelled from what a
        pilot had read.

        rows      the unit's results
        question  of rows that have none
        """
        import numpy as np

        from savs.engine.vectors import HeadVectors, vectors_to_bytes

        samples = self.unit.by_index
        own: list[ExampleRow] = []
        pilot: list[ExampleRow] = []
        for row in rows:
            if row.error is None:
                asked = samples[row.index].question or question
                one = _row(row, asked, digests.get(row.index, ()))
                (own if row.index in self.found else pilot).append(one)
        values = [self.found[row.index] for row in own]
        stacked = np.stack(values) if values else np.zeros((0, self.layout.width), np.float32)
        said = {"rows": _described(own), "pilot": _described(pilot), "origin": origin.model_dump_json()}
        data = vectors_to_bytes(HeadVectors(self.layout, stacked), said)
        return KeptRows(data, len(own), tuple(row.index for row in pilot))


def _row(row: ResultRow, question: str | None, digests: "Sequence[Digest]") -> ExampleRow:
    """Return what identifies a labelled row. A hash is there only if all of its media were hashed."""
    hashes = [digest.sha256 for digest in digests if digest.sha256 is not None]
    return ExampleRow(
        index=row.index,
        id=row.id,
        task=row.task,
        media=row.media,
        question=question,
        label=row.label,
        sha256=tuple(hashes) if len(hashes) == len(digests) else (),
        sizes=tuple(digest.size for digest in digests),
        notes=row.notes,
    )


def _described(rows: Sequence[ExampleRow]) -> str:
    return json.dumps([row.model_dump(exclude_defaults=True) for row in rows])


@dataclass(frozen=True)
class KeptColumns:
    """The heads that a pass keeps for its units; units that keep the same ones share the values.

    spans    layout → its columns among the kept values
    columns  int64 [kept values]: their columns in the head vectors that the pass reads, on its device
    """

    spans: "Mapping[HeadLayout, slice]"
    columns: "torch.Tensor"

    @classmethod
    def of(cls, units: Iterable[Keeping], read: "HeadLayout", device: "torch.device") -> "KeptColumns":
        """Return the columns in rows of `read`. Raises ArtifactMismatch if a head is not there."""
        import torch

        spans: dict[HeadLayout, slice] = {}
        columns: list[int] = []
        for unit in units:
            if unit.layout not in spans:
                spans[unit.layout] = slice(len(columns), len(columns) + unit.layout.width)
                columns += read.columns(unit.layout)
        return cls(spans, torch.tensor(columns, dtype=torch.int64, device=device))

    def read(self, vectors: "torch.Tensor") -> "torch.Tensor":
        """Return float32 [n, kept values] of head vectors float32 [n, width]."""
        return vectors[:, self.columns]

    def of_unit(self, layout: "HeadLayout", values: "torch.Tensor") -> "np.ndarray":
        """Return float32 [n, layout.width] of kept values on the CPU, as a view of them."""
        found: np.ndarray = values[:, self.spans[layout]].numpy()
        return found

"""Counts of rows by cluster in JSON, as parts of a tally (`jobs.records.tallies.tally`)."""

from collections import Counter
from typing import Annotated

from pydantic import Field, model_validator

from jobs.records.record import Record
from jobs.records.tallies.confidence import Count
from savs.scores.clusters import Cell, Clusters

Key = Annotated[int, Field(ge=0, lt=2**32)]


class CellRecord(Record):
    """A cell of `Clusters`. `rows` has a count for each of `keys`, or is empty if all are 1."""

    outcome: tuple[Count, ...]
    split: str | None = None
    names: tuple[str, ...] = ()
    alone: Count = 0
    keys: tuple[Key, ...] = ()
    rows: tuple[Count, ...] = ()

    @property
    def cell(self) -> Cell:
        return Cell(self.outcome, self.split, self.names)

    @property
    def total(self) -> int:
        return self.alone + (sum(self.rows) if self.rows else len(self.keys))

    @model_validator(mode="after")
    def _check(self) -> "CellRecord":
        if self.rows and len(self.rows) != len(self.keys):
            raise ValueError(f"{len(self.rows)} counts for {len(self.keys)} clusters")
        return self


class ClustersRecord(Record):
    cells: tuple[CellRecord, ...] = ()
    folded: bool = False

    @classmethod
    def of(cls, clusters: Clusters) -> "ClustersRecord":
        cells = []
        for cell in sorted({*clusters.alone, *clusters.shared}, key=repr):
            found = sorted(clusters.shared.get(cell, {}).items())
            cells.append(
                CellRecord(
                    **cell._asdict(),
                    alone=clusters.alone[cell],
                    keys=tuple(key for key, _ in found),
                    rows=tuple(n for _, n in found) if any(n != 1 for _, n in found) else (),
                )
            )
        return cls(cells=tuple(cells), folded=clusters.folded)

    def clusters(self) -> Clusters:
        alone: Counter[Cell] = Counter()
        shared: dict[Cell, Counter[int]] = {}
        for one in self.cells:
            if one.alone:
                alone[one.cell] += one.alone
            if one.keys:
                rows = one.rows or (1,) * len(one.keys)
                shared.setdefault(one.cell, Counter()).update(dict(zip(one.keys, rows, strict=True)))
        return Clusters(alone, shared, self.folded)

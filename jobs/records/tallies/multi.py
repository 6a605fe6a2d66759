"""Counts of rows with several labels in JSON, as a part of a tally (`jobs.records.tallies.tally`)."""

from collections import Counter
from typing import NamedTuple

from pydantic import Field, model_validator

from jobs.records.record import Record
from jobs.records.tallies.clusters import ClustersRecord
from jobs.records.tallies.confidence import Count
from jobs.records.tallies.ranking import Steps, check_steps, ranking_of, steps_of
from savs.scores.multi import MultiCounts


class LabelCounts(NamedTuple):
    """Of a label: rows that have it, rows for which it was predicted, and rows of both."""

    support: Count
    predicted: Count
    hits: Count


class MultiRecord(Record):
    """`savs.scores.multi.MultiCounts` in JSON."""

    total: Count = 0
    rows: ClustersRecord = ClustersRecord()
    labels: dict[str, LabelCounts] = Field(default_factory=dict)
    scored: Steps = Field(default_factory=dict)

    @classmethod
    def of(cls, counts: MultiCounts) -> "MultiRecord":
        support = counts.ranking.labels
        return cls(
            total=counts.total,
            rows=ClustersRecord.of(counts.rows),
            labels={
                name: LabelCounts(support[name], counts.predicted[name], counts.hits[name])
                for name in sorted(support.keys() | counts.predicted.keys())
            },
            scored=steps_of(counts.ranking),
        )

    def counts(self) -> MultiCounts:
        support = {name: one.support for name, one in self.labels.items() if one.support}
        return MultiCounts(
            self.rows.clusters(),
            Counter({name: one.predicted for name, one in self.labels.items() if one.predicted}),
            Counter({name: one.hits for name, one in self.labels.items() if one.hits}),
            ranking_of(support, self.scored),
            self.total,
        )

    @model_validator(mode="after")
    def _check(self) -> "MultiRecord":
        if any(cell.outcome not in ((0,), (1,)) or cell.names for cell in self.rows.cells):
            raise ValueError("a row with several labels is right or wrong, and nothing else")
        if sum(cell.total for cell in self.rows.cells) != self.total:
            raise ValueError("its clusters do not have as many rows as there are")
        for name, (support, predicted, hits) in self.labels.items():
            if not max(0, support + predicted - self.total) <= hits <= min(support, predicted):
                raise ValueError(f"{self.total} rows cannot have these counts of {name!r}")
            if max(support, predicted) > self.total:
                raise ValueError(f"{name!r} has more rows than there are")
        support_of = {name: one.support for name, one in self.labels.items()}
        check_steps(support_of, self.scored, self.total)
        return self

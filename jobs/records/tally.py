"""A `Tally` in JSON, as stored in commits: counters as lists of counts.

A tally that contradicts itself is refused when it is read, since its scores would be meaningless.
"""

from collections import Counter
from collections.abc import Mapping
from typing import Annotated, NamedTuple

from pydantic import Field, model_validator

from jobs.records.confidence import ConfidencesRecord, Count, ProbabilitiesRecord
from jobs.records.record import Record
from savs.scores.clusters import Cell, Clusters
from savs.scores.groups import GROUPINGS, MILLION, Groups, Member
from savs.scores.metrics import Tally
from savs.scores.multi import MultiCounts
from savs.scores.ranking import STEPS, Ranking

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


class Step(NamedTuple):
    """Rows with a score of `score` thousandths: those whose label is the class, and others."""

    score: Annotated[int, Field(ge=1, le=STEPS)]
    positives: Count
    others: Count


Steps = dict[str, tuple[Step, ...]]  # class → rows per score, except scores of 0


class RankingRecord(Record):
    """`labels`: rows per label; `scored`: class → rows per score, except scores of 0."""

    labels: dict[str, Count] = Field(default_factory=dict)
    scored: Steps = Field(default_factory=dict)

    @classmethod
    def of(cls, ranking: Ranking) -> "RankingRecord":
        return cls(labels=dict(sorted(ranking.labels.items())), scored=_steps_of(ranking))

    def ranking(self) -> Ranking:
        return _ranking(self.labels, self.scored)

    @model_validator(mode="after")
    def _check(self) -> "RankingRecord":
        _check_steps(self.labels, self.scored, sum(self.labels.values()))
        return self


def _steps_of(ranking: Ranking) -> Steps:
    scored: dict[str, list[Step]] = {}
    for name, step in sorted({(name, step) for name, step, _ in ranking.scored}):
        counts = Step(step, ranking.scored[name, step, True], ranking.scored[name, step, False])
        scored.setdefault(name, []).append(counts)
    return {name: tuple(steps) for name, steps in scored.items()}


def _ranking(labels: Mapping[str, int], scored: Steps) -> Ranking:
    found = Ranking(Counter(labels))
    for name, steps in scored.items():
        for step in steps:
            for positive, count in ((True, step.positives), (False, step.others)):
                if count:
                    found.scored[name, step.score, positive] += count
    return found


def _check_steps(labels: Mapping[str, int], scored: Steps, rows: int) -> None:
    """Raises ValueError if a class has more scores than there are rows with it, or without it."""
    for name, steps in scored.items():
        positives = labels.get(name, 0)
        if sum(one.positives for one in steps) > positives or (
            sum(one.others for one in steps) > rows - positives
        ):
            raise ValueError(f"{name!r} has more scores than there are rows")


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
            scored=_steps_of(counts.ranking),
        )

    def counts(self) -> MultiCounts:
        support = {name: one.support for name, one in self.labels.items() if one.support}
        return MultiCounts(
            self.rows.clusters(),
            Counter({name: one.predicted for name, one in self.labels.items() if one.predicted}),
            Counter({name: one.hits for name, one in self.labels.items() if one.hits}),
            _ranking(support, self.scored),
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
        _check_steps(support_of, self.scored, self.total)
        return self


class MemberRecord(NamedTuple):
    value: Annotated[int, Field(ge=0, le=MILLION)]
    picture: Key | None
    split: str | None


class GroupsRecord(Record):
    """The groups of one format: `savs.scores.groups.Groups` in JSON."""

    open: dict[str, dict[str, MemberRecord | None]] = Field(default_factory=dict)
    closed: ClustersRecord = ClustersRecord()
    unlike: Count = 0
    numbers: tuple[Count, Count] | None = None

    @classmethod
    def of(cls, groups: Groups) -> "GroupsRecord":
        return cls(
            open={
                group: {role: member and MemberRecord(*member) for role, member in sorted(members.items())}
                for group, members in sorted(groups.open.items())
            },
            closed=ClustersRecord.of(groups.closed),
            unlike=groups.unlike,
            numbers=groups.numbers,
        )

    def groups(self, format: str) -> Groups:
        return Groups(
            format,
            {
                group: {role: member and Member(*member) for role, member in members.items()}
                for group, members in self.open.items()
            },
            self.closed.clusters(),
            self.unlike,
            self.numbers,
        )

    def check(self, format: str) -> None:
        """Raises ValueError if these cannot be groups of `format`."""
        if format not in GROUPINGS:
            raise ValueError(f"the rows of {format!r} do not form groups")
        grouping = GROUPINGS[format]
        if not all(members.keys() <= set(grouping.roles) for members in self.open.values()):
            raise ValueError(f"a row of {format!r} has an unknown role")
        most = tuple(grouping.rates.values())
        for cell in self.closed.cells:
            if len(cell.outcome) != len(most) or any(a > b for a, b in zip(cell.outcome, most, strict=True)):
                raise ValueError(f"a group of {format!r} cannot have the outcome {cell.outcome}")
        if self.numbers is not None and self.numbers[0] > self.numbers[1]:
            raise ValueError(f"the first group of {format!r} comes after the last")


class TallyRecord(Record):
    """A `Tally` in JSON: the confusion as (label, prediction, rows)."""

    predicted: dict[str, Count] = Field(default_factory=dict)
    confusion: tuple[tuple[str, str, Count], ...] = ()
    errors: dict[str, Count] = Field(default_factory=dict)
    rows: ClustersRecord = ClustersRecord()
    ranking: RankingRecord = RankingRecord()
    groups: dict[str, GroupsRecord] = Field(default_factory=dict)
    confidences: ConfidencesRecord = ConfidencesRecord()
    probabilities: ProbabilitiesRecord = ProbabilitiesRecord()
    multi: MultiRecord = MultiRecord()

    @classmethod
    def of(cls, tally: Tally) -> "TallyRecord":
        return cls(
            predicted=dict(sorted(tally.predicted.items())),
            confusion=tuple((a, b, n) for (a, b), n in sorted(tally.confusion.items())),
            errors=dict(sorted(tally.errors.items())),
            rows=ClustersRecord.of(tally.rows),
            ranking=RankingRecord.of(tally.ranking),
            groups={format: GroupsRecord.of(one) for format, one in sorted(tally.groups.items())},
            confidences=ConfidencesRecord.of(tally.confidences),
            probabilities=ProbabilitiesRecord.of(tally.probabilities),
            multi=MultiRecord.of(tally.multi),
        )

    def tally(self) -> Tally:
        confusion: Counter[tuple[str, str]] = Counter()
        for label, prediction, rows in self.confusion:
            confusion[label, prediction] += rows
        return Tally(
            Counter(self.predicted),
            confusion,
            Counter(self.errors),
            self.rows.clusters(),
            self.ranking.ranking(),
            {format: one.groups(format) for format, one in self.groups.items()},
            self.confidences.confidences(),
            self.probabilities.probabilities(),
            self.multi.counts(),
        )

    @model_validator(mode="after")
    def _check(self) -> "TallyRecord":
        for format, groups in self.groups.items():
            groups.check(format)
        left: Counter[tuple[str, ...]] = Counter()  # rows by label and prediction, and by right or wrong
        for label, prediction, rows in self.confusion:
            left.update({(label, prediction): rows, (str(label == prediction),): rows})
        for cell in self.rows.cells:
            if cell.outcome not in ((0,), (1,)) or len(cell.names) not in (0, 2):
                raise ValueError(f"a row cannot have the outcome {cell.outcome} and the names {cell.names}")
            right = str(cell.outcome == (1,))
            if cell.names and right != str(cell.names[0] == cell.names[1]):
                raise ValueError(
                    f"the label and prediction {cell.names} cannot have the outcome {cell.outcome}"
                )
            left.subtract({name: cell.total for name in (cell.names, (right,)) if name})
        if min(left.values(), default=0) < 0:
            raise ValueError("its clusters have more rows than its confusion")
        return self

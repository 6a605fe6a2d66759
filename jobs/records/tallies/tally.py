"""A `Tally` in JSON, as stored in commits: counters as lists of counts.

A tally that contradicts itself is refused when it is read, since its scores would be meaningless.
"""

from collections import Counter
from typing import Annotated, NamedTuple

from pydantic import Field, model_validator

from jobs.records.record import Record
from jobs.records.tallies.clusters import ClustersRecord, Key
from jobs.records.tallies.confidence import ConfidencesRecord, Count, ProbabilitiesRecord
from jobs.records.tallies.multi import MultiRecord
from jobs.records.tallies.ranking import RankingRecord
from savs.scores.groups import GROUPINGS, MILLION, Groups, Member
from savs.scores.metrics import Tally


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

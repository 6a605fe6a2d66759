"""Counts of confidence and sums of probabilities in JSON, as parts of a tally."""

from collections import Counter
from itertools import pairwise
from typing import Annotated, NamedTuple

from pydantic import Field, model_validator

from jobs.records.record import Record
from savs.scores.calibration import Confidences
from savs.scores.class_shares import MAX_CLASSES, Probabilities
from savs.scores.groups import MILLION
from savs.scores.ranking import STEPS

Count = Annotated[int, Field(ge=0)]


class Level(NamedTuple):
    """Rows with a confidence of `confidence` thousandths, and those whose likeliest class is right."""

    confidence: Annotated[int, Field(ge=0, le=STEPS)]
    rows: Annotated[int, Field(ge=1)]
    right: Count


class ConfidencesRecord(Record):
    """`levels` ascend."""

    levels: tuple[Level, ...] = ()

    @classmethod
    def of(cls, confidences: Confidences) -> "ConfidencesRecord":
        levels = []
        for step in sorted({step for step, _ in confidences.counts}):
            right = confidences.counts[step, True]
            levels.append(Level(step, right + confidences.counts[step, False], right))
        return cls(levels=tuple(levels))

    def confidences(self) -> Confidences:
        found = Confidences()
        for step, rows, right in self.levels:
            for hit, count in ((True, right), (False, rows - right)):
                if count:
                    found.counts[step, hit] = count
        return found

    @model_validator(mode="after")
    def _check(self) -> "ConfidencesRecord":
        if any(one.confidence >= other.confidence for one, other in pairwise(self.levels)):
            raise ValueError("its confidences do not ascend")
        for level in self.levels:
            if level.right > level.rows:
                raise ValueError(f"{level.right} of {level.rows} rows of one confidence are right")
        return self


class ClassSum(NamedTuple):
    """Of a class, Σp and Σp(1 − p) in millionths."""

    total: Annotated[int, Field(ge=1)]
    spread: Count


class ProbabilitiesRecord(Record):
    rows: Count = 0
    classes: dict[str, ClassSum] = Field(default_factory=dict, max_length=MAX_CLASSES)
    too_many: bool = False

    @classmethod
    def of(cls, probabilities: Probabilities) -> "ProbabilitiesRecord":
        return cls(
            rows=probabilities.rows,
            classes={
                name: ClassSum(total, probabilities.spreads[name])
                for name, total in sorted(probabilities.sums.items())
            },
            too_many=probabilities.too_many,
        )

    def probabilities(self) -> Probabilities:
        return Probabilities(
            self.rows,
            Counter({name: one.total for name, one in self.classes.items()}),
            Counter({name: one.spread for name, one in self.classes.items()}),
            self.too_many,
        )

    @model_validator(mode="after")
    def _check(self) -> "ProbabilitiesRecord":
        if self.too_many and self.classes:
            raise ValueError("it has sums of classes although there are too many")
        whole = MILLION * self.rows
        if sum(one.total for one in self.classes.values()) > whole + MAX_CLASSES * self.rows:  # rounded
            raise ValueError("the probabilities of its rows add up to more than 1")
        for name, (total, spread) in self.classes.items():
            # p(1 − p) is concave, so that its mean is at most that of the mean p; a millionth per row is
            # for rounding.
            if total > whole or (spread - self.rows) * whole > total * (whole - total):
                raise ValueError(f"{self.rows} rows cannot have these probabilities of {name!r}")
        return self

"""Rows by their scores in JSON, as parts of a tally (`jobs.records.tallies.tally`)."""

from collections import Counter
from collections.abc import Mapping
from typing import Annotated, NamedTuple

from pydantic import Field, model_validator

from jobs.records.record import Record
from jobs.records.tallies.confidence import Count
from savs.scores.ranking import STEPS, Ranking


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
        return cls(labels=dict(sorted(ranking.labels.items())), scored=steps_of(ranking))

    def ranking(self) -> Ranking:
        return ranking_of(self.labels, self.scored)

    @model_validator(mode="after")
    def _check(self) -> "RankingRecord":
        check_steps(self.labels, self.scored, sum(self.labels.values()))
        return self


def steps_of(ranking: Ranking) -> Steps:
    scored: dict[str, list[Step]] = {}
    for name, step in sorted({(name, step) for name, step, _ in ranking.scored}):
        counts = Step(step, ranking.scored[name, step, True], ranking.scored[name, step, False])
        scored.setdefault(name, []).append(counts)
    return {name: tuple(steps) for name, steps in scored.items()}


def ranking_of(labels: Mapping[str, int], scored: Steps) -> Ranking:
    found = Ranking(Counter(labels))
    for name, steps in scored.items():
        for step in steps:
            for positive, count in ((True, step.positives), (False, step.others)):
                if count:
                    found.scored[name, step.score, positive] += count
    return found


def check_steps(labels: Mapping[str, int], scored: Steps, rows: int) -> None:
    """Raises ValueError if a class has more scores than there are rows with it, or without it."""
    for name, steps in scored.items():
        positives = labels.get(name, 0)
        if sum(one.positives for one in steps) > positives or (
            sum(one.others for one in steps) > rows - positives
        ):
            raise ValueError(f"{name!r} has more scores than there are rows")

"""How well scores rank the rows of a class before all others: average precision, from a histogram.

Scores are kept to a thousandth. That is exact for the votes of up to a thousand heads, and keeps the
histogram small, however many rows there are.
"""

import math
from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

STEPS = 1000  # a score of 1; a score that rounds to 0 is 0


@dataclass
class Ranking:
    """Counts over labelled rows that have scores.

    labels  rows per label
    scored  rows per (class, score in thousandths, whether it is their label), except scores of 0
    """

    labels: Counter[str] = field(default_factory=Counter)
    scored: Counter[tuple[str, int, bool]] = field(default_factory=Counter)

    def add(self, label: str, scores: Mapping[str, float]) -> None:
        """Count a row. `scores` are 0 to 1; a class that is left out has 0."""
        self.labels[label] += 1
        for name, score in scores.items():
            if step := round(STEPS * score):
                self.scored[name, step, name == label] += 1

    def add_many(self, labels: Collection[str], scores: Mapping[str, float]) -> None:
        """Count a row that may have several labels or none."""
        self.labels.update(labels)
        for name, score in scores.items():
            if step := round(STEPS * score):
                self.scored[name, step, name in labels] += 1

    def update(self, other: "Ranking") -> None:
        """Add `other` to this one."""
        self.labels.update(other.labels)
        self.scored.update(other.scored)


def shares(votes: Mapping[str, int]) -> dict[str, float]:
    """Each class's share of the votes; empty if there are none."""
    total = sum(votes.values())
    return {name: count / total for name, count in votes.items()} if total else {}


def average_precisions(ranking: Ranking, rows: int | None = None) -> dict[str, float]:
    """The average precision of every class that is a label.

    rows  their number, if they may have several labels or none; by default each has one

    AP = Σ (R_n − R_{n−1}) · P_n over the distinct scores, highest first, where P_n and R_n are the
    precision and recall of "all rows with at least this score": that of scikit-learn's
    `average_precision_score`, which counts rows of equal score together.
    """
    rows = ranking.labels.total() if rows is None else rows
    steps: dict[str, dict[int, Counter[bool]]] = {label: {} for label in ranking.labels}
    for (name, step, positive), count in ranking.scored.items():
        if name in steps:
            steps[name].setdefault(step, Counter())[positive] += count
    found = {}
    for label, positives in sorted(ranking.labels.items()):
        counts = steps[label]
        rest = Counter({True: positives, False: rows - positives})  # rows whose score is 0
        for one in counts.values():
            rest.subtract(one)
        found[label] = _average_precision([counts[step] for step in sorted(counts, reverse=True)] + [rest])
    return found


def _average_precision(counts: list[Counter[bool]]) -> float:
    """From the rows, positive and other, of each distinct score, highest first."""
    positives = sum(one[True] for one in counts)
    reached = right = 0
    parts = []
    for one in counts:
        reached += one.total()
        right += one[True]
        if one[True]:
            parts.append(one[True] / positives * right / reached)
    return math.fsum(parts)

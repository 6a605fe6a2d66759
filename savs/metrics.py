"""Scores from counts that can be added up, so that shards of any size and order give the same.

`Tally` is the whole state: two tallies of different rows add to the tally of both.
"""

import math
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

Z95 = 1.959963984540054  # of the normal distribution: 2.5 % lie beyond it


@dataclass
class Tally:
    """Counts over result rows.

    predicted  rows per predicted class
    confusion  rows per (label, prediction), where the label is known
    errors     rows per kind of error
    """

    predicted: Counter[str] = field(default_factory=Counter)
    confusion: Counter[tuple[str, str]] = field(default_factory=Counter)
    errors: Counter[str] = field(default_factory=Counter)

    def add(self, prediction: str | None, label: str | None, error: str | None) -> None:
        """Counts one row."""
        if error is not None:
            self.errors[error] += 1
        elif prediction is not None:
            self.predicted[prediction] += 1
            if label is not None:
                self.confusion[label, prediction] += 1

    def update(self, other: "Tally") -> None:
        """Adds `other` to this one."""
        self.predicted.update(other.predicted)
        self.confusion.update(other.confusion)
        self.errors.update(other.errors)

    def __add__(self, other: "Tally") -> "Tally":
        return Tally(
            self.predicted + other.predicted,
            self.confusion + other.confusion,
            self.errors + other.errors,
        )


@dataclass(frozen=True)
class ClassScores:
    """One class, as a label and as a prediction. None where nothing speaks of it.

    rows       with this label
    recall     share of those that were predicted so, with its interval
    precision  share of the rows predicted so that have the label, with its interval
    f1         their harmonic mean, 2 TP / (2 TP + FP + FN)
    """

    rows: int
    recall: float | None
    recall_interval: tuple[float, float] | None
    precision: float | None
    precision_interval: tuple[float, float] | None
    f1: float


@dataclass(frozen=True)
class Scores:
    """What the labelled rows say. Intervals are of 95 % (`wilson`).

    accuracy           share of rows whose prediction is their label
    balanced_accuracy  mean recall of the labels
    macro_f1           mean F1 of all classes that are a label or a prediction
    per_class          accuracy of the rows of each label (recall), labels sorted
    confusion          label → prediction → rows
    """

    rows: int
    accuracy: float
    accuracy_interval: tuple[float, float]
    balanced_accuracy: float
    macro_f1: float
    per_class: dict[str, float]
    classes: dict[str, ClassScores]
    confusion: dict[str, dict[str, int]]


def total(tallies: Iterable[Tally]) -> Tally:
    return sum(tallies, Tally())


def score(tally: Tally) -> Scores | None:
    """Scores of the rows with a known label and a prediction; None where there are none."""
    rows = tally.confusion.total()
    if not rows:
        return None
    confusion: dict[str, dict[str, int]] = {}
    predicted: Counter[str] = Counter()
    for (label, prediction), count in sorted(tally.confusion.items()):
        confusion.setdefault(label, {})[prediction] = count
        predicted[prediction] += count
    right = {label: counts.get(label, 0) for label, counts in confusion.items()}
    per_class = {label: right[label] / sum(counts.values()) for label, counts in confusion.items()}
    classes = {
        name: _class_scores(right.get(name, 0), sum(confusion.get(name, {}).values()), predicted[name])
        for name in sorted(confusion.keys() | predicted.keys())
    }
    return Scores(
        rows=rows,
        accuracy=sum(right.values()) / rows,
        accuracy_interval=wilson(sum(right.values()), rows),
        balanced_accuracy=sum(per_class.values()) / len(per_class),
        macro_f1=sum(one.f1 for one in classes.values()) / len(classes),
        per_class=per_class,
        classes=classes,
        confusion=confusion,
    )


def _class_scores(right: int, labelled: int, predicted: int) -> ClassScores:
    return ClassScores(
        rows=labelled,
        recall=right / labelled if labelled else None,
        recall_interval=wilson(right, labelled) if labelled else None,
        precision=right / predicted if predicted else None,
        precision_interval=wilson(right, predicted) if predicted else None,
        f1=2 * right / (labelled + predicted),
    )


def wilson(hits: int, rows: int) -> tuple[float, float]:
    """The 95 % interval of a rate of independent rows (Wilson 1927, without continuity correction).

    Unlike the normal approximation it stays within 0 and 1, and is no point at either end.
    """
    rate, square = hits / rows, Z95**2
    centre = rate + square / (2 * rows)
    half = Z95 * math.sqrt(rate * (1 - rate) / rows + square / (4 * rows**2))
    scale = 1 + square / rows
    low = (centre - half) / scale if hits else 0.0  # exactly, which rounding would miss
    return low, (centre + half) / scale if hits < rows else 1.0

"""Scores from counts that can be added up, so that shards of any size and order give the same.

`Tally` is the whole state: two tallies of different rows add to the tally of both.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field


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
class Scores:
    """What the labelled rows say.

    accuracy   share of rows whose prediction is their label
    per_class  accuracy of the rows of each label (recall), labels sorted
    confusion  label → prediction → rows
    """

    rows: int
    accuracy: float
    per_class: dict[str, float]
    confusion: dict[str, dict[str, int]]


def total(tallies: Iterable[Tally]) -> Tally:
    return sum(tallies, Tally())


def score(tally: Tally) -> Scores | None:
    """Accuracy over the rows with a known label and a prediction; None where there are none."""
    rows = tally.confusion.total()
    if not rows:
        return None
    confusion: dict[str, dict[str, int]] = {}
    for (label, prediction), count in sorted(tally.confusion.items()):
        confusion.setdefault(label, {})[prediction] = count
    right = {label: counts.get(label, 0) for label, counts in confusion.items()}
    return Scores(
        rows=rows,
        accuracy=sum(right.values()) / rows,
        per_class={label: right[label] / sum(counts.values()) for label, counts in confusion.items()},
        confusion=confusion,
    )

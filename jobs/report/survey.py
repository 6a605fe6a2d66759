"""What one pass over a job's result rows finds. Its size does not grow with the number of rows."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

Row = Mapping[str, Any]
BINS = 20  # of the histogram of confidence
STEPS = 100  # of a precision–recall curve
MAX_CURVES = 30  # classes with a curve of their own, those with the most labelled rows


@dataclass
class ScoreCounts:
    """Rows by their score for one class, in STEPS + 1 steps of equal width.

    own    rows with this label
    other  rows with another label
    """

    own: list[int] = field(default_factory=lambda: [0] * (STEPS + 1))
    other: list[int] = field(default_factory=lambda: [0] * (STEPS + 1))


@dataclass(frozen=True)
class CurvePoint:
    """Precision and recall of the rows whose score for a class is at least `score`."""

    score: float
    precision: float
    recall: float


@dataclass
class Survey:
    """Counts over result rows.

    confidences  (bin of BINS, "right", "wrong" or "not known") → rows with a confidence
    labels       label → rows that have it and scores
    counted      class → its rows by their score, without the rows whose score for it rounds to 0
    least        lowest confidence of a row with a prediction; None if there is none
    """

    rows: int = 0
    confidences: Counter[tuple[int, str]] = field(default_factory=Counter)
    labels: Counter[str] = field(default_factory=Counter)
    counted: dict[str, ScoreCounts] = field(default_factory=dict)
    least: float | None = None

    def add(self, row: Row) -> None:
        """Count one row."""
        self.rows += 1
        confidence, label, scores = row.get("confidence"), row.get("label"), row.get("scores")
        if confidence is not None:
            self.confidences[min(int(confidence * BINS), BINS - 1), _right(row)] += 1
            if row.get("prediction") is not None and (self.least is None or confidence < self.least):
                self.least = confidence
        if label is None or not scores:
            return
        labels = (label,) if isinstance(label, str) else label
        self.labels.update(labels)
        for name, score in scores.items():
            if step := round(score * STEPS):
                counts = self.counted.get(name)
                if counts is None:
                    counts = self.counted[name] = ScoreCounts()
                (counts.own if name in labels else counts.other)[step] += 1

    def curves(self) -> dict[str, list[CurvePoint]]:
        """Return the precision–recall curve of each of the MAX_CURVES most frequent labels, from the highest
        score down."""
        return {name: self._curve(name) for name, _ in self.labels.most_common(MAX_CURVES)}

    def _curve(self, name: str) -> list[CurvePoint]:
        counts, points, found, wrong = self.counted.get(name, ScoreCounts()), [], 0, 0
        for step in range(STEPS, 0, -1):
            if counts.own[step] or counts.other[step]:
                found += counts.own[step]
                wrong += counts.other[step]
                points.append(CurvePoint(step / STEPS, found / (found + wrong), found / self.labels[name]))
        return points


def _right(row: Row) -> str:
    label, prediction = row.get("label"), row.get("prediction")
    if not isinstance(label, str) or prediction is None:
        return "not known"
    return "right" if prediction == label else "wrong"

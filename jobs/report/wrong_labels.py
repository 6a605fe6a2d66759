"""Finds labels that are likely wrong, by confident learning (Northcutt et al. 2021, arXiv 1911.00068).

A class' threshold is the mean probability of the class over the rows that have it as their label. A row is
*confidently* of the likeliest class whose threshold its probability reaches. If this is not its label, and
its label is not the likeliest class either, the label is likely wrong. This is cleanlab's `find_label_issues`
with `filter_by="confident_learning"`; the least probable labels come first, as by `self_confidence` there.
"""

import heapq
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

Row = Mapping[str, Any]
ROUNDING = 1e-6  # of scores in rows, and cleanlab's own tolerance


@dataclass
class Thresholds:
    """Sums over rows with a label and probabilities: per label, its rows and their probabilities of it."""

    rows: Counter[str] = field(default_factory=Counter)
    sums: dict[str, float] = field(default_factory=lambda: defaultdict(float))

    def add(self, row: Row) -> None:
        label, scores = row.get("label"), row.get("scores")
        if isinstance(label, str) and scores:
            self.rows[label] += 1
            self.sums[label] += scores.get(label, 0.0)

    def of_classes(self) -> dict[str, float]:
        """Return the threshold of each label."""
        return {label: self.sums[label] / rows for label, rows in self.rows.items()}


@dataclass(frozen=True)
class WrongLabels:
    """Rows whose label is likely wrong.

    count   how many there are
    first   the least probable of them, the least probable first
    likely  index of each of these → its confident class
    """

    count: int
    first: list[Row]
    likely: dict[int, str]


def find_wrong_labels(rows: Iterable[Row], thresholds: Mapping[str, float], most: int) -> WrongLabels:
    """Return the rows whose label is likely wrong, at most the first `most` of them."""
    count = 0
    kept: list[tuple[tuple[float, int], str, Row]] = []
    for row in rows:
        if (confident := _confident(row, thresholds)) is None:
            continue
        count += 1
        rank = (-row["scores"].get(row["label"], 0.0), -row["index"])
        (heapq.heappush if len(kept) < most else heapq.heappushpop)(kept, (rank, confident, row))
    first = sorted(kept, key=lambda one: one[0], reverse=True)
    return WrongLabels(count, [row for _, _, row in first], {row["index"]: name for _, name, row in first})


def _confident(row: Row, thresholds: Mapping[str, float]) -> str | None:
    """Return the confident class of a row whose label is likely wrong, else None."""
    label, scores = row.get("label"), row.get("scores")
    if not isinstance(label, str) or not scores:
        return None
    likeliest = max(scores, key=scores.__getitem__)
    if scores[likeliest] <= scores.get(label, 0.0):
        return None
    above = [name for name, p in scores.items() if p >= thresholds.get(name, 2.0) - ROUNDING]
    found = likeliest if len(above) > 1 else above[0] if above else label
    return None if found == label else found

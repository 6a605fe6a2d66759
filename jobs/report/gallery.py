"""Chooses the rows that a report shows: the doubtful ones and a draw of each class, mistakes, and errors.

The choice follows from the rows alone, so a report that is made again shows the same rows.
"""

import heapq
import json
import zlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice, zip_longest
from typing import Any

Row = Mapping[str, Any]
ROWS = 300  # of all classes together
MISTAKES = 60  # rows with another label than predicted, the most confident first
ERRORS = 30  # rows that failed


class Lowest:
    """The rows with the lowest ranks, at most `most` of them, kept as JSON, which needs less memory than
    objects. Of equal ranks, the first row is the lowest."""

    def __init__(self, most: int) -> None:
        self.most = most
        self.heap: list[tuple[float, int, str]] = []

    def offer(self, rank: float, row: Row) -> None:
        key = (-rank, -row["index"])
        if len(self.heap) < self.most:
            heapq.heappush(self.heap, (*key, json.dumps(row)))
        elif self.heap and key > self.heap[0][:2]:
            heapq.heapreplace(self.heap, (*key, json.dumps(row)))

    def rows(self) -> list[Row]:
        """Return the rows, the lowest rank first."""
        return [json.loads(line) for _, _, line in sorted(self.heap, reverse=True)]


@dataclass(frozen=True)
class Chosen:
    """A row of the gallery, and why it is there: "doubtful", "drawn", "mistake" or "error"."""

    row: Row
    why: str


@dataclass
class ClassRows:
    """Rows predicted as one class: the most doubtful, and a draw in which each row has the same chance."""

    doubtful: Lowest
    drawn: Lowest

    def rows(self) -> Iterator[Chosen]:
        """Yield a doubtful row, a drawn one, and so on."""
        for pair in zip_longest(self.doubtful.rows(), self.drawn.rows()):
            yield from (Chosen(row, why) for row, why in zip(pair, ("doubtful", "drawn"), strict=True) if row)


@dataclass
class Gallery:
    """Chooses rows while they pass by. `classes` is how many classes are expected."""

    classes: int
    kept: dict[str, ClassRows] = field(default_factory=dict)
    mistakes: Lowest = field(default_factory=lambda: Lowest(MISTAKES))
    errors: Lowest = field(default_factory=lambda: Lowest(ERRORS))

    def add(self, row: Row) -> None:
        """Offer one row."""
        if row.get("error"):
            self.errors.offer(0.0, row)
            return
        name = _class_of(row)
        if (own := self.kept.get(name)) is None:
            share = -(-ROWS // max(1, self.classes))
            own = self.kept[name] = ClassRows(Lowest(share), Lowest(share))
        own.doubtful.offer(-doubt_of(row), row)
        own.drawn.offer(zlib.crc32(b"%d" % row["index"]), row)
        if is_wrong(row):
            self.mistakes.offer(doubt_of(row), row)

    def rows(self) -> list[Chosen]:
        """Return the chosen rows, each once: those of all classes in turn and mistakes, the most doubtful
        first; then errors."""
        turns = zip_longest(*(own.rows() for _, own in sorted(self.kept.items())))
        every = _once(one for turn in turns for one in turn if one is not None)
        found = {one.row["index"]: one for one in islice(every, ROWS)}
        for row in self.mistakes.rows():
            found.setdefault(row["index"], Chosen(row, "mistake"))
        shown = sorted(found.values(), key=lambda one: (-doubt_of(one.row), one.row["index"]))
        return [*shown, *(Chosen(row, "error") for row in self.errors.rows())]


def _once(chosen: Iterable[Chosen]) -> Iterator[Chosen]:
    seen: set[int] = set()
    for one in chosen:
        if one.row["index"] not in seen:
            seen.add(one.row["index"])
            yield one


def doubt_of(row: Row) -> float:
    """Return how doubtful a row is, from 0 to 1: 1 − its margin, or 1 − its confidence; of a row with several
    labels, 1 − the distance from 1/2 of the score that is nearest to it; 0 if it has none of these."""
    if (margin := row.get("margin", row.get("confidence"))) is not None:
        return 1.0 - float(margin)
    if "predictions" in row and row.get("scores"):
        return 1.0 - min(abs(float(score) - 0.5) for score in row["scores"].values())
    return 0.0


def is_wrong(row: Row) -> bool:
    """Return whether a row has a label and another prediction."""
    label = row.get("label")
    if label is None or row.get("error"):
        return False
    if "predictions" in row:
        return set(row["predictions"]) != ({label} if isinstance(label, str) else set(label))
    return row["prediction"] is not None and row["prediction"] != label


def _class_of(row: Row) -> str:
    """Return the class that a row counts for: its prediction, the first of several, or "" for none."""
    if "predictions" in row:
        return next(iter(row["predictions"]), "")
    return row["prediction"] or ""

"""Chooses the rows that a report shows: the doubtful ones and a draw of each class, mistakes, and errors.

The choice follows from the rows alone, so a report that is made again shows the same rows.
"""

import heapq
import json
import zlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from heapq import nlargest
from itertools import islice, zip_longest
from typing import Any

Row = Mapping[str, Any]
REST = ""  # stands for rows without a prediction, and for those of rare classes
ROWS = 300  # of all classes together
MISTAKES = 60  # rows with another label than predicted, the most confident first
ERRORS = 30  # rows that failed
OWN = ROWS // 2  # classes that have rows of their own; those of all others are drawn together
SCORES = 5  # of a row, and its votes, the highest


class Lowest:
    """The rows with the lowest ranks, at most `most` of them, kept as JSON, which needs less memory than
    objects. Of equal ranks, the first row is the lowest."""

    def __init__(self, most: int) -> None:
        self.most = most
        self.heap: list[tuple[float, int, str]] = []

    def offer(self, rank: float, row: Row) -> None:
        key = (-rank, -row["index"])
        if len(self.heap) < self.most:
            heapq.heappush(self.heap, (*key, json.dumps(_without_low_scores(row))))
        elif self.heap and key > self.heap[0][:2]:
            heapq.heapreplace(self.heap, (*key, json.dumps(_without_low_scores(row))))

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
    """Chooses rows while they pass by. `classes` are the predictions that are expected, with their rows."""

    classes: Mapping[str, int]
    kept: dict[str, ClassRows] = field(init=False)
    mistakes: Lowest = field(default_factory=lambda: Lowest(MISTAKES))
    errors: Lowest = field(default_factory=lambda: Lowest(ERRORS))

    def __post_init__(self) -> None:
        frequent = nlargest(OWN, self.classes, key=self.classes.__getitem__)
        share = -(-ROWS // max(1, len(frequent)))
        self.kept = {name: ClassRows(Lowest(share), Lowest(share)) for name in {*frequent, REST}}

    def add(self, row: Row) -> None:
        """Offer one row."""
        if row.get("error"):
            self.errors.offer(0.0, row)
            return
        name = _class_of(row)
        own = self.kept[name if name in self.kept else REST]
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


def _without_low_scores(row: Row) -> Row:
    """Return the row with the highest SCORES and votes, and the score on which its doubt depends. The others
    would need much memory if there are thousands of classes."""
    kept = {
        name: dict(nlargest(SCORES, row[name].items(), key=lambda pair: pair[1]))
        for name in ("scores", "votes")
        if row.get(name)
    }
    if "scores" in kept:
        name, score = min(row["scores"].items(), key=lambda pair: abs(pair[1] - 0.5))
        kept["scores"][name] = score
    return {**row, **kept}

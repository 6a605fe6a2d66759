"""The headline of a report, its tables of classes, and its failures."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from heapq import nlargest
from typing import Any

from jobs.report.survey import BINS, Survey

DOUBTFUL = 0.8  # confidence below which a row is called doubtful
MAX_MATRIX = 25  # classes of a confusion matrix; of more, the most frequent confusions are listed
MAX_CONFUSIONS = 100
MAX_CLASSES = 1000  # lines of the table of classes
Summary = Mapping[str, Any]


@dataclass(frozen=True)
class Tile:
    """A number of the headline: its name, the number, and what belongs to it."""

    name: str
    value: str
    more: str = ""


@dataclass(frozen=True)
class ClassTable:
    """The scores of each class."""

    caption: str
    columns: Sequence[str]
    rows: Sequence[Sequence[Any]]


@dataclass(frozen=True)
class Matrix:
    """A confusion matrix: per label, (prediction, rows, share of the label's rows) of each class."""

    names: Sequence[str]
    rows: Sequence[tuple[str, Sequence[tuple[str, int, float]]]]


@dataclass(frozen=True)
class Failures:
    """Failed rows per kind, shards that were given up, and what to do."""

    kinds: Sequence[tuple[str, Mapping[str, Any]]]
    missing: Sequence[Mapping[str, Any]]
    advice: str


def tiles_of(summary: Summary, found: Survey) -> list[Tile]:
    """Return the headline: accuracy, if labels are known, and what became of the rows."""
    tiles = []
    if "accuracy" in summary:
        low, high = summary["accuracy_interval"]
        more = f"{percent(low)} to {percent(high)} (95 %), of {summary['scored']:,} rows with a label"
        tiles.append(Tile("Accuracy", f"{percent(summary['accuracy'])}", more))
        tiles.append(Tile("Macro F1", f"{summary['macro_f1']:.3f}"))
    elif multi := summary.get("multi"):
        low, high = multi["exact_match_interval"]
        more = f"{percent(low)} to {percent(high)} (95 %), of {multi['scored']:,} rows with labels"
        tiles.append(Tile("All labels right", f"{percent(multi['exact_match'])}", more))
        if multi.get("mean_average_precision") is not None:
            tiles.append(Tile("Mean average precision", f"{multi['mean_average_precision']:.3f}"))
    if known := found.confidences.total():
        below = sum(n for (bin, _), n in found.confidences.items() if bin < DOUBTFUL * BINS)
        tiles.append(
            Tile(
                "Doubtful",
                percent(below / known),
                f"{below:,} rows are less than {percent(DOUBTFUL, 0)} sure",
            )
        )
    if summary.get("ece") is not None:
        tiles.append(
            Tile(
                "Calibration error", f"{summary['ece']:.3f}", "ECE: mean distance of confidence and accuracy"
            )
        )
    tiles.append(Tile("Labelled", f"{summary['labelled']:,}", f"of {summary['rows']:,} rows"))
    if summary["abstained"]:
        tiles.append(Tile("No prediction", f"{summary['abstained']:,}", "below the threshold"))
    tiles.append(Tile("Failed", f"{summary['failed']:,}"))
    return tiles


def percent(share: float, digits: int = 1) -> str:
    """Return a share as text, for example "87.5 %", with a space that does not break."""
    return f"{100 * share:.{digits}f}\u00a0%"


def class_table(summary: Summary) -> ClassTable | None:
    """Return the scores of each class, or the share of each if no labels are known; None if neither is."""
    fields = ("recall", "precision", "f1", "average_precision")
    named = ("recall", "precision", "F1", "average precision")
    if per_class := summary.get("per_class"):
        rows = [[name, one["rows"], *(one.get(field) for field in fields)] for name, one in per_class.items()]
        return _table("Scores of each class", ("class", "rows with this label", *named), rows)
    if labels := (summary.get("multi") or {}).get("labels"):
        rows = [[name, one["support"], *(one.get(field) for field in fields)] for name, one in labels.items()]
        return _table("Scores of each label", ("label", "rows with this label", *named), rows)
    shares, counts = summary.get("class_shares") or {}, summary["classes"]
    if not counts:
        return None
    rows = [
        [name, n, (shares.get(name) or {}).get("rate"), *_interval(shares.get(name))]
        for name, n in counts.items()
    ]
    return _table("Predictions", ("class", "rows predicted", "estimated share", "95 % from", "to"), rows)


def _table(caption: str, columns: Sequence[str], rows: list[list[Any]]) -> ClassTable:
    """Return a table; with too many classes, of those with the most rows."""
    if len(rows) > MAX_CLASSES:
        caption = f"{caption}: the {MAX_CLASSES:,} of {len(rows):,} with the most rows"
        rows = nlargest(MAX_CLASSES, rows, key=lambda row: row[1])
    return ClassTable(caption, columns, rows)


def _interval(share: Mapping[str, Any] | None) -> Sequence[Any]:
    return (None, None) if share is None else share["interval"]


def confusion_of(summary: Summary) -> Matrix | None:
    """Return the confusion matrix; None without labels, or with more than MAX_MATRIX classes."""
    confusion = summary.get("confusion")
    if not confusion:
        return None
    names = sorted(confusion.keys() | {name for row in confusion.values() for name in row})
    if len(names) > MAX_MATRIX:
        return None
    rows = []
    for label in names:
        own = confusion.get(label, {})
        whole = max(1, sum(own.values()))
        rows.append((label, [(name, own.get(name, 0), round(own.get(name, 0) / whole, 3)) for name in names]))
    return Matrix(names, rows)


def confusions_of(summary: Summary) -> list[tuple[str, str, int]]:
    """Return the most frequent confusions (label, prediction, rows) of too many classes for a matrix."""
    if confusion_of(summary) is not None:
        return []
    found = [
        (label, name, count)
        for label, row in (summary.get("confusion") or {}).items()
        for name, count in row.items()
        if name != label
    ]
    return sorted(found, key=lambda one: (-one[2], one[:2]))[:MAX_CONFUSIONS]


def failures_of(summary: Summary) -> Failures | None:
    """Return what failed; None if nothing did."""
    if not summary["errors"] and not summary.get("missing"):
        return None
    kinds = sorted(summary["errors"].items(), key=lambda item: -item[1]["rows"])
    return Failures(kinds, summary.get("missing", ()), summary.get("advice", ""))

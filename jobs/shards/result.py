"""The result of a shard, with its error rows and its tally. `classify`, `zero_shot` and `extract` in this
package make one each.

A row that cannot be labelled becomes an error row; an error of the job itself is raised.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from jobs.records.job import ZeroShot
from jobs.records.outcome import Counts, LeakedRow
from jobs.records.row import ExampleRow, ResultRow, RowError
from jobs.records.scored_row import scored
from jobs.shards.rows import ManifestRow
from savs.data.media import Digest, base_name
from savs.data.samples import Sample
from savs.errors import ItemError
from savs.scores.metrics import Tally

Progress = Callable[[int], None]  # called with the number of further rows of the first job that are done

OTHER = "(other)"  # in tallies: a text that is not a class
OTHER_STILL = "(none of the classes)"  # if a row's label is OTHER


@dataclass(frozen=True)
class KeptRows:
    """The head vectors of a shard's rows as bytes, how many they are, and `pilot` as in `KeptVectors`."""

    data: bytes
    rows: int
    pilot: tuple[int, ...]


@dataclass(frozen=True)
class ShardResult:
    """The result of a shard: its rows, its part with the suffix of the part's name, and its tally.

    leaks, tally_without_leaks  as in an `Outcome`
    kept                        the head vectors of its rows, if the job keeps them
    """

    rows: Sequence[ResultRow | ExampleRow]
    suffix: str
    part: bytes
    tally: Tally
    leaks: tuple[LeakedRow, ...] | None = None
    tally_without_leaks: Tally | None = None
    kept: KeptRows | None = None


def error_row(entry: ManifestRow, task: str, error: ItemError, multi: bool = False) -> ResultRow:
    """Return the row of an item that has an error; `multi`: of a task with several labels per item."""
    sample = entry.sample
    return ResultRow(
        index=entry.index,
        id=sample.id if sample else str(entry.index),
        task=task,
        media=sample.media if sample else (),
        predictions=() if multi else None,
        label=sample.label if sample else None,
        extra=extra_of(sample),
        error=RowError(kind=error.kind, message=str(error)),
    )


def extra_of(sample: Sample | None) -> dict[str, Any] | None:
    """Return the values of a row that its format does not use."""
    return None if sample is None or sample.extra is None else dict(sample.extra)


def notes_of(sample: Sample, digests: "Iterable[Digest]") -> tuple[str, ...] | None:
    """The notes on a row's media, each after its file's name; None if there are none."""
    opened = zip(sample.media, digests, strict=False)  # fewer digests if one could not be opened
    return tuple(f"{base_name(address)}: {note}" for address, one in opened for note in one.notes) or None


def counts_of(rows: Sequence[ResultRow | ExampleRow]) -> Counts:
    """Return how many rows are labelled (of examples: read), abstained, and failed."""
    good = [row for row in rows if row.error is None]
    abstained = sum(
        isinstance(row, ResultRow) and row.prediction is None and row.predictions is None for row in good
    )
    return Counts(
        rows=len(rows),
        labelled=len(good) - abstained,
        abstained=abstained,
        failed=len(rows) - len(good),
    )


def tally_of(
    rows: Iterable[ResultRow], samples: Mapping[int, Sample], format: str, zero_shot: ZeroShot | None = None
) -> Tally:
    """Return the tally of result rows; `samples` are the manifest's, by index."""
    tally = Tally()
    for one in scored(rows, samples, format):
        if zero_shot is not None and one.prediction is not None:
            one = replace(one, prediction=counted_as(one.prediction, one.label, zero_shot.classes))
        tally.add(one)
    return tally


def counted_as(text: str, label: str | None, classes: Collection[str]) -> str:
    """Return the name under which a generated text is counted: the text if it is the label or a class.

    All other texts share one name, since there may be as many texts as rows. It is never the label,
    or they would count as right.
    """
    if text == label or text in classes:
        return text
    return OTHER if label != OTHER else OTHER_STILL

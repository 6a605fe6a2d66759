"""What all endings of a shard share: its rows as they were read, what is asked about them, and what they
come to. Labelling, asking the model itself, and reading examples are files of their own.

A row that cannot be labelled becomes an error row; whatever is wrong with the job itself is raised.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from jobs.records.job import ZeroShot
from jobs.records.outcome import LeakedRow
from jobs.records.row import ExampleRow, ResultRow, RowError
from jobs.records.scored_row import scored
from jobs.shards.rows import ManifestRow
from savs.data.samples import Sample
from savs.errors import ItemError
from savs.scores.metrics import Tally

Progress = Callable[[int], None]  # told how many more rows of the first job are done

OTHER = "(other)"  # in tallies: a text that is no class
OTHER_STILL = "(none of the classes)"  # where a row's label is OTHER


@dataclass(frozen=True)
class ShardResult:
    """What a shard ends with: its rows, its part with the suffix of its name, and what is counted.

    leaks, tally_without_leaks  as in an `Outcome`
    """

    rows: Sequence[ResultRow | ExampleRow]
    suffix: str
    part: bytes
    tally: Tally
    leaks: tuple[LeakedRow, ...] | None = None
    tally_without_leaks: Tally | None = None


def error_row(entry: ManifestRow, task: str, error: ItemError) -> ResultRow:
    sample = entry.sample
    return ResultRow(
        index=entry.index,
        id=sample.id if sample else str(entry.index),
        task=task,
        media=sample.media if sample else (),
        label=sample.label if sample else None,
        error=RowError(kind=error.kind, message=str(error)),
    )


def tally_of(
    rows: Iterable[ResultRow], samples: Mapping[int, Sample], format: str, zero_shot: ZeroShot | None = None
) -> Tally:
    """What is counted of result rows; `samples` are the manifest's, by index."""
    tally = Tally()
    for one in scored(rows, samples, format):
        if zero_shot is not None and one.prediction is not None:
            one = replace(one, prediction=counted_as(one.prediction, one.label, zero_shot.classes))
        tally.add(one)
    return tally


def counted_as(text: str, label: str | None, classes: Collection[str]) -> str:
    """The name under which a generated text is counted: its own where it is the label or a class.

    All others share one, so that there are not as many as rows; and never the label's, or they
    would count as right.
    """
    if text == label or text in classes:
        return text
    return OTHER if label != OTHER else OTHER_STILL

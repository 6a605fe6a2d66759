"""What all endings of a shard share: its rows as they were read, what is asked about them, and what they
come to. Labelling, asking the model itself, and reading examples are files of their own.

A row that cannot be labelled becomes an error row; whatever is wrong with the job itself is raised.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeVar

from jobs.entries import Entry, Unit
from jobs.outcomes import LeakedRow
from jobs.rows import ExampleRow, Row, RowError
from jobs.scoring import scored
from jobs.specs import Job, ZeroShot
from savs.errors import ItemError
from savs.metrics import Tally
from savs.samples import Sample

if TYPE_CHECKING:
    from savs.models import Model
    from savs.packing import Budget
    from savs.windows import Request

T = TypeVar("T")
Progress = Callable[[int], None]  # told how many more rows of the first job are done

OTHER = "(other)"  # in tallies: a text that is no class
OTHER_STILL = "(none of the classes)"  # where a row's label is OTHER


@dataclass(frozen=True)
class Ending:
    """What a shard ends with: its rows, its part with the suffix of its name, and what is counted.

    leaks, tally_without_leaks  as in an `Outcome`
    """

    rows: Sequence[Row | ExampleRow]
    suffix: str
    part: bytes
    tally: Tally
    leaks: tuple[LeakedRow, ...] | None = None
    tally_without_leaks: Tally | None = None


@dataclass(frozen=True)
class Asked:
    """What several units ask of a model, the same question about the same media once.

    requests  of all, those of a row of each unit next to each other, so that media that they share are
              open at the same time
    wanted    per unit: request number → the indices of its rows that it answers
    """

    requests: "Sequence[Request]"
    wanted: tuple[dict[int, list[int]], ...]

    def of(self, unit: int, given: Mapping[int, T]) -> Iterator[tuple[int, T]]:
        """What requests were given, by the index of the unit's rows that they answer."""
        return ((i, value) for number, value in given.items() for i in self.wanted[unit].get(number, ()))

    def rows(self, unit: int, numbers: Iterable[int]) -> int:
        """How many of the unit's rows these requests answer."""
        return sum(len(self.wanted[unit].get(number, ())) for number in numbers)


def ask(units: Sequence[Unit], questions: Sequence[str | None]) -> Asked:
    """questions  of each unit's rows that have none of their own"""
    from savs.windows import Request

    known: dict[tuple[object, str | None], Request] = {}
    wanted: tuple[dict[int, list[int]], ...] = tuple({} for _ in units)
    samples = [unit.samples for unit in units]
    for place in range(max(map(len, samples), default=0)):
        for own, default, mine in zip(samples, questions, wanted, strict=True):
            if place < len(own):
                sample = own[place]
                question = sample.question or default
                shown = sample.media or id(sample)  # without media there is little that could be saved
                request = known.setdefault((shown, question), Request(len(known), sample, question))
                mine.setdefault(request.number, []).append(sample.index)
    return Asked(list(known.values()), wanted)


def requests_of(unit: Unit) -> "Iterator[Request]":
    """A request for every sample of the unit; their numbers are the samples' indices."""
    from savs.windows import Request

    return (Request(sample.index, sample, sample.question) for sample in unit.samples)


def budget_of(job: Job, model: "Model") -> "Budget":
    """What one forward pass of the job may hold."""
    from savs.engine import default_budget

    budget = default_budget(model)
    return budget if job.spec.batch_tokens is None else replace(budget, tokens=job.spec.batch_tokens)


def error_row(entry: Entry, task: str, error: ItemError) -> Row:
    sample = entry.sample
    return Row(
        index=entry.index,
        id=sample.id if sample else str(entry.index),
        task=task,
        media=sample.media if sample else (),
        label=sample.label if sample else None,
        error=RowError(kind=error.kind, message=str(error)),
    )


def tally_of(
    rows: Iterable[Row], samples: Mapping[int, Sample], format: str, zero_shot: ZeroShot | None = None
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

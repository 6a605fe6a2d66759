"""The requests to the model that the shards of one pass make."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeVar

from jobs.records.job import Job
from jobs.shards.rows import ShardRows

if TYPE_CHECKING:
    from savs.engine.packing import Budget
    from savs.engine.windows import Request
    from savs.model.model import Model

T = TypeVar("T")


@dataclass(frozen=True)
class SharedRequests:
    """The requests of several shards; the same question about the same media is asked once.

    requests  of all units; those for the n-th sample of each unit are adjacent, so that media that they
              share are open at the same time
    wanted    per unit: request number → the indices of its rows that it answers
    """

    requests: "Sequence[Request]"
    wanted: tuple[dict[int, list[int]], ...]

    def of(self, unit: int, given: Mapping[int, T]) -> Iterator[tuple[int, T]]:
        """Yield the values of requests, by the index of the unit's rows that they answer."""
        return ((i, value) for number, value in given.items() for i in self.wanted[unit].get(number, ()))

    def rows(self, unit: int, numbers: Iterable[int]) -> int:
        """Return how many of the unit's rows these requests answer."""
        return sum(len(self.wanted[unit].get(number, ())) for number in numbers)


def share_requests(units: Sequence[ShardRows], questions: Sequence[str | None]) -> SharedRequests:
    """Return the requests of `units`.

    questions  per unit, for its rows that have none of their own
    """
    from savs.engine.windows import Request

    known: dict[tuple[object, str | None], Request] = {}
    wanted: tuple[dict[int, list[int]], ...] = tuple({} for _ in units)
    samples = [unit.samples for unit in units]
    for place in range(max(map(len, samples), default=0)):
        for own, default, mine in zip(samples, questions, wanted, strict=True):
            if place < len(own):
                sample = own[place]
                question = sample.question or default
                shown = sample.media or id(sample)  # without media, sharing saves little
                request = known.setdefault((shown, question), Request(len(known), sample, question))
                mine.setdefault(request.number, []).append(sample.index)
    return SharedRequests(list(known.values()), wanted)


def requests_of(unit: ShardRows, question: str | None = None) -> "Iterator[Request]":
    """Yield a request for every sample of the unit; its number is the sample's index.

    question  for rows that have none of their own
    """
    from savs.engine.windows import Request

    return (Request(sample.index, sample, sample.question or question) for sample in unit.samples)


def budget_of(job: Job, model: "Model") -> "Budget":
    """Return the budget of one forward pass of the job."""
    from savs.engine.engine import default_budget

    budget = default_budget(model)
    return budget if job.spec.batch_tokens is None else replace(budget, tokens=job.spec.batch_tokens)

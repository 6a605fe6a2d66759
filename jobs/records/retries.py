"""Shards that retry rows: the content of `retries/<number>.json`, and all shards of a job together.

Commits are not changed. A retry's shards are numbered after the existing ones, and list the rows that
they retry and the errors that were counted for them. A row of a later shard replaces an earlier one
in results, counts and fits.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, pairwise
from typing import Annotated, Literal

from pydantic import Field, model_validator

from jobs.records.outcome import Counts
from jobs.records.plan import Plan, Shard
from jobs.records.record import SCHEMA, Record
from savs.errors import LedgerError


class Pick(Record):
    """Rows of a planned shard: those with `indices`, or all of them."""

    shard: Shard
    indices: tuple[int, ...] | None = None

    @property
    def rows(self) -> Sequence[int]:
        """Their indices in the manifest."""
        whole = range(self.shard.first_index, self.shard.first_index + self.shard.rows)
        return whole if self.indices is None else self.indices

    def __len__(self) -> int:
        return len(self.rows)

    @model_validator(mode="after")
    def _check(self) -> "Pick":
        first, end = self.shard.first_index, self.shard.first_index + self.shard.rows
        indices = self.indices
        if indices is not None and not (indices and first <= min(indices) and max(indices) < end):
            raise ValueError(f"its rows are not among {first} to {end - 1}")
        if indices is not None and any(a >= b for a, b in pairwise(indices)):
            raise ValueError("its rows do not ascend")
        return self


class RetryShard(Record):
    """A shard of rows that had failed. `errors` counts them by kind; rows that were given up have none."""

    picks: tuple[Pick, ...]
    rows: Annotated[int, Field(ge=1)]
    errors: dict[str, Annotated[int, Field(ge=1)]] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _check(self) -> "RetryShard":
        if self.rows != sum(map(len, self.picks)) or self.rows < sum(self.errors.values()):
            raise ValueError(
                f"its number of rows, {self.rows}, does not match the rows and errors that it lists"
            )
        return self

    @property
    def indices(self) -> Iterator[int]:
        """All its rows' indices in the manifest."""
        return chain.from_iterable(pick.rows for pick in self.picks)

    @property
    def replaced(self) -> Counts:
        return Counts(rows=self.rows, failed=self.rows)


class Retry(Record):
    """`retries/<number>.json`. `first` is the number of its first shard."""

    schema_version: Literal[1] = SCHEMA
    number: Annotated[int, Field(ge=0)]
    first: Annotated[int, Field(ge=0)]
    shards: Annotated[tuple[RetryShard, ...], Field(min_length=1)]

    def shard(self, number: int) -> RetryShard:
        """Return its shard of that number. Raises LedgerError if it has none."""
        if not self.first <= number < self.first + len(self.shards):
            raise LedgerError(f"shard {number} is not in retry {self.number}")
        return self.shards[number - self.first]


@dataclass(frozen=True)
class Planned:
    """All shards of a job: those of its plan, then those of its retries."""

    plan: Plan
    retries: tuple[Retry, ...]

    @property
    def rows(self) -> int:
        return self.plan.rows

    def __len__(self) -> int:
        return len(self.plan) + sum(len(retry.shards) for retry in self.retries)

    def shard(self, number: int) -> Shard:
        if number < len(self.plan):
            return self.plan.shard(number)
        retry, redone = self.redone(number)
        first = redone.picks[0]
        return Shard(
            number=number,
            offset=0,
            length=0,
            first_index=first.rows[0],
            first_line=1,
            rows=redone.rows,
            retry=retry.number,
        )

    def redone(self, number: int) -> tuple[Retry, RetryShard]:
        """Return the retry that added shard `number`, and the rows that it retries. Raises LedgerError
        if there is none."""
        for retry in self.retries:
            if retry.first <= number < retry.first + len(retry.shards):
                return retry, retry.shard(number)
        raise LedgerError(f"shard {number} has ended but was not planned")

    def __iter__(self) -> Iterator[Shard]:
        return map(self.shard, range(len(self)))

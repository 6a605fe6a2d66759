"""Shards that redo rows: what `retries/<number>.json` holds, and all shards of a job together.

Commits stay as they are. A retry's shards are numbered from where the others stop, and list the rows
that they redo and what was counted for them before; a row of a later shard takes the place of an
earlier one, in results, counts and fits alike.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import Field

from jobs.outcomes import Counts
from jobs.planning import Plan, Shard
from jobs.specs import SCHEMA, Strict


class Pick(Strict):
    """Rows of a planned shard: those with `indices`, or all of them."""

    shard: Shard
    indices: tuple[int, ...] | None = None

    def __len__(self) -> int:
        return self.shard.rows if self.indices is None else len(self.indices)


class RetryShard(Strict):
    """A shard of rows that had failed. `errors` are their kinds, as far as each row had one."""

    picks: tuple[Pick, ...]
    rows: Annotated[int, Field(ge=1)]
    errors: dict[str, int] = Field(default_factory=dict)

    @property
    def replaced(self) -> Counts:
        return Counts(rows=self.rows, failed=self.rows)


class Retry(Strict):
    """`retries/<number>.json`. `first` is the number of its first shard."""

    schema_version: Literal[1] = SCHEMA
    number: Annotated[int, Field(ge=0)]
    first: Annotated[int, Field(ge=0)]
    shards: tuple[RetryShard, ...]


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
            first_index=first.indices[0] if first.indices else first.shard.first_index,
            first_line=1,
            rows=redone.rows,
            retry=retry.number,
        )

    def redone(self, number: int) -> tuple[Retry, RetryShard]:
        """The retry that planned a shard beyond the plan's, and what it redoes."""
        retry = next(r for r in self.retries if r.first <= number < r.first + len(r.shards))
        return retry, retry.shards[number - retry.first]

    def __iter__(self) -> Iterator[Shard]:
        return map(self.shard, range(len(self)))

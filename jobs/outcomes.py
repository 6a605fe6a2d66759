"""What became of a shard, and how outcomes add up. Nothing here reads or writes."""

from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Annotated, Literal

from pydantic import Field

from jobs.specs import SCHEMA, Strict
from jobs.tallied import Tallied
from savs.metrics import Tally

EXAMPLES = 3  # error rows that a commit, and a summary, quote per kind


class Counts(Strict):
    """Rows of a shard: each is labelled, abstained or failed."""

    rows: int = 0
    labelled: int = 0
    abstained: int = 0
    failed: int = 0


class ErrorExample(Strict):
    index: int
    id: str
    kind: str
    message: str


class Outcome(Strict):
    """`commits/<shard>.json`: what became of a shard, once and for all.

    sha256   of the part; None on a store without conditional writes, where a part may be replaced
    timings  seconds per stage; `worker` is the whole attempt
    """

    schema_version: Literal[1] = SCHEMA
    shard: Annotated[int, Field(ge=0)]
    status: Literal["done", "failed"]
    attempt: str
    part: str | None = None
    sha256: str | None = None
    counts: Counts = Counts()
    tally: Tallied = Tallied()
    examples: tuple[ErrorExample, ...] = ()
    timings: dict[str, float] = Field(default_factory=dict)
    reason: str | None = None


@dataclass
class Sums:
    """Outcomes added up: of fixed size, however many there are.

    examples  the first few error rows of each kind, by index
    dead      shards that were given up, with the reason
    """

    counts: Counter[str] = field(default_factory=Counter)
    tally: Tally = field(default_factory=Tally)
    timings: Counter[str] = field(default_factory=Counter)
    examples: dict[str, list[ErrorExample]] = field(default_factory=dict)
    dead: dict[int, str | None] = field(default_factory=dict)

    def add(self, outcome: Outcome, redone: Collection[int] = ()) -> None:
        """Counts one more shard. Its rows in `redone` are quoted where they were redone."""
        self.counts.update(outcome.counts.model_dump())
        self.tally.update(outcome.tally.tally())
        self.timings.update(outcome.timings)
        for example in outcome.examples:
            if example.index not in redone:
                quoted = [*self.examples.get(example.kind, []), example]
                self.examples[example.kind] = sorted(quoted, key=lambda e: e.index)[:EXAMPLES]
        if outcome.status == "failed":
            self.dead[outcome.shard] = outcome.reason

    def redo(
        self, outcome: Outcome, replaced: Counts, errors: dict[str, int], redone: Collection[int] = ()
    ) -> None:
        """Counts a shard whose rows take the place of earlier ones, which had failed."""
        if outcome.status == "failed":
            self.dead[outcome.shard] = outcome.reason
            return  # the earlier rows stay
        self.counts.subtract(replaced.model_dump())
        self.tally.errors.subtract(errors)
        self.add(outcome, redone)

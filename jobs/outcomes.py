"""What became of a shard, and how outcomes add up. Nothing here reads or writes."""

from collections import Counter
from collections.abc import Collection
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Annotated, Literal

from pydantic import Field

from jobs.specs import SCHEMA, Strict
from jobs.tallied import Tallied
from savs.metrics import Tally

EXAMPLES = 3  # error rows that a commit, and a summary, quote per kind
LEAKS = 1000  # rows of the training set that a summary names; commits name all


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


class LeakedRow(Strict):
    """A row that is in the training set: see `savs.leaks.Leak`."""

    index: Annotated[int, Field(ge=0)]
    training: str
    verified: bool


class Outcome(Strict):
    """`commits/<shard>.json`: what became of a shard, once and for all.

    sha256   of the part; None on a store without conditional writes, where a part may be replaced
    leaks    rows that are in the training set; None where that was not looked for
    tally_without_leaks  as `tally`, without the predictions of `leaks`; None where it is the same
    timings  seconds per stage; `worker` is the whole attempt. Of a pass that served several jobs each tells
             the whole
    work     what the model was given in that time: `forwards`, `items`, `tokens` with padding, `pixels`
    """

    schema_version: Literal[1] = SCHEMA
    shard: Annotated[int, Field(ge=0)]
    status: Literal["done", "failed"]
    attempt: str
    part: str | None = None
    sha256: str | None = None
    counts: Counts = Counts()
    tally: Tallied = Tallied()
    leaks: tuple[LeakedRow, ...] | None = ()
    tally_without_leaks: Tallied | None = None
    examples: tuple[ErrorExample, ...] = ()
    timings: dict[str, float] = Field(default_factory=dict)
    work: dict[str, int] = Field(default_factory=dict)
    reason: str | None = None


@dataclass
class LeakSums:
    """Rows that are in the training set.

    rows       the first of them, by index
    unchecked  whether some shard did not look for them
    """

    verified: int = 0
    unverified: int = 0
    rows: list[LeakedRow] = field(default_factory=list)
    unchecked: bool = False

    def add(self, found: Collection[LeakedRow]) -> None:
        if not found:
            return
        self.verified += sum(row.verified for row in found)
        self.unverified += sum(not row.verified for row in found)
        self.rows = sorted([*self.rows, *found], key=lambda row: row.index)[:LEAKS]


@dataclass
class Sums:
    """Outcomes added up: of fixed size, however many there are.

    tally_without_leaks  None as long as no shard had one of its own, and it is the same
    examples  the first few error rows of each kind, by index
    dead      shards that were given up, with the reason
    """

    counts: Counter[str] = field(default_factory=Counter)
    tally: Tally = field(default_factory=Tally)
    tally_without_leaks: Tally | None = None
    leaks: LeakSums = field(default_factory=LeakSums)
    timings: Counter[str] = field(default_factory=Counter)
    work: Counter[str] = field(default_factory=Counter)
    examples: dict[str, list[ErrorExample]] = field(default_factory=dict)
    dead: dict[int, str | None] = field(default_factory=dict)

    def add(self, outcome: Outcome, redone: Collection[int] = ()) -> None:
        """Counts one more shard. Its rows in `redone` are quoted, and named as leaks, where they were
        redone."""
        self.counts.update(outcome.counts.model_dump())
        self._count(outcome.tally.tally(), outcome.tally_without_leaks)
        self.leaks.unchecked |= outcome.leaks is None
        self.leaks.add([row for row in outcome.leaks or () if row.index not in redone])
        self.timings.update(outcome.timings)
        self.work.update(outcome.work)
        for example in outcome.examples:
            if example.index not in redone:
                quoted = [*self.examples.get(example.kind, []), example]
                self.examples[example.kind] = sorted(quoted, key=lambda e: e.index)[:EXAMPLES]
        if outcome.status == "failed":
            self.dead[outcome.shard] = outcome.reason

    def _count(self, tally: Tally, without: Tallied | None) -> None:
        if without is not None and self.tally_without_leaks is None:
            self.tally_without_leaks = deepcopy(self.tally)
        self.tally.update(tally)
        if self.tally_without_leaks is not None:
            self.tally_without_leaks.update(tally if without is None else without.tally())

    def redo(
        self, outcome: Outcome, replaced: Counts, errors: dict[str, int], redone: Collection[int] = ()
    ) -> None:
        """Counts a shard whose rows take the place of earlier ones, which had failed."""
        if outcome.status == "failed":
            self.dead[outcome.shard] = outcome.reason
            return  # the earlier rows stay
        self.counts.subtract(replaced.model_dump())
        self.tally.errors.subtract(errors)
        if self.tally_without_leaks is not None:
            self.tally_without_leaks.errors.subtract(errors)
        self.add(outcome, redone)

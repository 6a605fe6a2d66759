"""The outcomes of a job's shards, added up."""

from collections import Counter
from collections.abc import Collection
from copy import deepcopy
from dataclasses import dataclass, field

from jobs.ledger.ledger import Ledger
from jobs.records.job import Job
from jobs.records.outcome import EXAMPLES, Counts, ErrorExample, LeakedRow, Outcome
from jobs.records.retries import Planned
from jobs.records.tallies.tally import TallyRecord
from savs.scores.metrics import Tally

LEAKS = 1000  # rows of the training set that a summary lists; commits list all


@dataclass
class LeakSums:
    """Rows that are in the training set.

    rows       the first of them, by index
    unchecked  whether any shard did not search for them
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
    """The sum of outcomes; its size does not grow with their number.

    tally_without_leaks  None as long as no shard has one of its own, since it is the same
    examples  the first few error rows of each kind, by index
    dead      shards that were given up, with the reason
    kept      head vectors that are kept: `rows` and `bytes`; and `pilot`, rows whose vectors the pilot has
    """

    counts: Counter[str] = field(default_factory=Counter)
    tally: Tally = field(default_factory=Tally)
    tally_without_leaks: Tally | None = None
    leaks: LeakSums = field(default_factory=LeakSums)
    timings: Counter[str] = field(default_factory=Counter)
    work: Counter[str] = field(default_factory=Counter)
    examples: dict[str, list[ErrorExample]] = field(default_factory=dict)
    dead: dict[int, str | None] = field(default_factory=dict)
    kept: Counter[str] = field(default_factory=Counter)

    def add(self, outcome: Outcome, redone: Collection[int] = ()) -> None:
        """Count one more shard. Its rows in `redone` are left out of the examples and leaks, since the
        shards that retried them count those."""
        self.counts.update(outcome.counts.model_dump())
        self._count(outcome.tally.tally(), outcome.tally_without_leaks)
        self.leaks.unchecked |= outcome.leaks is None
        self.leaks.add([row for row in outcome.leaks or () if row.index not in redone])
        self.timings.update(outcome.timings)
        self.work.update(outcome.work)
        if outcome.kept is not None:
            self.kept.update(bytes=outcome.kept.bytes, rows=outcome.kept.rows, pilot=len(outcome.kept.pilot))
        for example in outcome.examples:
            if example.index not in redone:
                quoted = [*self.examples.get(example.kind, []), example]
                self.examples[example.kind] = sorted(quoted, key=lambda e: e.index)[:EXAMPLES]
        if outcome.status == "failed":
            self.dead[outcome.shard] = outcome.reason

    def _count(self, tally: Tally, without: TallyRecord | None) -> None:
        if without is not None and self.tally_without_leaks is None:
            self.tally_without_leaks = deepcopy(self.tally)
        self.tally.update(tally)
        if self.tally_without_leaks is not None:
            self.tally_without_leaks.update(tally if without is None else without.tally())

    def redo(
        self, outcome: Outcome, replaced: Counts, errors: dict[str, int], redone: Collection[int] = ()
    ) -> None:
        """Count a shard whose rows replace earlier ones, which had failed."""
        if outcome.status == "failed":
            self.dead[outcome.shard] = outcome.reason
            return  # the earlier rows stay
        self.counts.subtract(replaced.model_dump())
        self.tally.errors.subtract(errors)
        if self.tally_without_leaks is not None:
            self.tally_without_leaks.errors.subtract(errors)
        self.add(outcome, redone)


def add_up(ledger: Ledger, job: Job, planned: Planned, shards: set[int], onto: Sums | None = None) -> Sums:
    """Return the outcomes of `shards`, added to `onto`.

    Retries are counted first, the latest of them before the others. Failed rows and given-up shards that a
    retry has replaced can then be recognised.
    """
    sums, size = Sums() if onto is None else onto, len(planned.plan)
    redone: set[int] = set()  # indices of rows
    for outcome in reversed(list(ledger.outcomes(job.job_id, (n for n in shards if n >= size)))):
        _, again = planned.redone(outcome.shard)
        if outcome.status == "done" or not redone.issuperset(again.indices):
            sums.redo(outcome, again.replaced, again.errors, redone)
        if outcome.status == "done":
            redone.update(again.indices)
    for outcome in ledger.outcomes(job.job_id, (n for n in shards if n < size)):
        sums.add(outcome, redone)
        if outcome.status == "failed" and planned.shard(outcome.shard).first_index in redone:
            del sums.dead[outcome.shard]
    return sums

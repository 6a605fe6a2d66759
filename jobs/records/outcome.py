"""The outcome of a shard, and its counts. This module does no I/O."""

from typing import Annotated, Literal

from pydantic import AwareDatetime, Field

from jobs.records.record import Record
from jobs.records.tallies.tally import TallyRecord

EXAMPLES = 3  # error rows per kind that a commit or a summary quotes


class Counts(Record):
    """Rows of a shard: each is labelled, abstained or failed."""

    rows: int = 0
    labelled: int = 0
    abstained: int = 0
    failed: int = 0


class ErrorExample(Record):
    index: int
    id: str
    kind: str
    message: str


class LeakedRow(Record):
    """A row that is in the training set: see `savs.artifact.leaks.Leak`."""

    index: Annotated[int, Field(ge=0)]
    training: str
    verified: bool


class KeptVectors(Record):
    """The object with the head vectors of a shard's rows, beside its part.

    name    of the object
    sha256  of it; None on a store without conditional writes
    bytes   its size
    rows    how many vectors it has
    pilot   indices of the shard's other rows that were labelled: their vectors are in the pilot's parts
    """

    name: str
    sha256: str | None
    bytes: Annotated[int, Field(ge=0)]
    rows: Annotated[int, Field(ge=0)]
    pilot: tuple[Annotated[int, Field(ge=0)], ...] = ()


class Ran(Record):
    """Which process ran a shard, as host:pid, and when."""

    worker: str
    began: AwareDatetime
    ended: AwareDatetime


class Outcome(Record):
    """`commits/<shard>.json`: the one outcome of a shard.

    sha256   of the part; None on a store without conditional writes, where a part may be replaced
    kept     the head vectors of its rows; None if the job keeps none
    leaks    rows that are in the training set; None if they were not searched for
    tally_without_leaks  as `tally`, without the predictions of `leaks`; None if it is the same
    timings  seconds per stage; `worker` is the whole attempt. Each of the jobs that share a pass
             has those of the whole pass
    work     the amount of data given to the model in that time: `forwards`, `items`, `tokens` with padding,
             `pixels`
    ran      None of a shard that was given up, or that an earlier savs ran
    """

    schema_version: Literal[1, 2] = 2  # 1 had no `kept` and no `ran`
    shard: Annotated[int, Field(ge=0)]
    status: Literal["done", "failed"]
    attempt: str
    part: str | None = None
    sha256: str | None = None
    kept: KeptVectors | None = None
    counts: Counts = Counts()
    tally: TallyRecord = TallyRecord()
    leaks: tuple[LeakedRow, ...] | None = ()
    tally_without_leaks: TallyRecord | None = None
    examples: tuple[ErrorExample, ...] = ()
    timings: dict[str, float] = Field(default_factory=dict)
    work: dict[str, int] = Field(default_factory=dict)
    reason: str | None = None
    ran: Ran | None = None

    @property
    def objects(self) -> tuple[str, ...]:
        """Names of the objects that the attempt wrote before this."""
        kept = None if self.kept is None else self.kept.name
        return tuple(name for name in (self.part, kept) if name is not None)

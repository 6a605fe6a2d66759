"""A job's plan, `shards.json`: the position of each shard in its manifest."""

import json
from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Annotated, Any, Literal, get_args

from pydantic import Field

from jobs.records.record import SCHEMA, Record
from savs.errors import LedgerError, NewerLedger, why_invalid

RowKind = Literal["image", "video", "text"]


class Shard(Record):
    """A range of rows in the manifest: the position of its bytes, and the first row's index and line.

    listed whether the manifest is one JSON list
    retry  if the rows are retried: the number of the `Retry` that lists them; `first_index` is
           the first of them, and the other positions have no meaning
    """

    number: Annotated[int, Field(ge=0)]
    offset: Annotated[int, Field(ge=0)]
    length: Annotated[int, Field(ge=0)]
    first_index: Annotated[int, Field(ge=0)]
    first_line: Annotated[int, Field(ge=1)]
    rows: Annotated[int, Field(ge=1)]
    listed: bool = False
    retry: Annotated[int, Field(ge=0)] | None = None


@dataclass(frozen=True)
class Plan:
    """`shards.json`: every shard but the last has `shard_rows` rows.

    offsets  byte offset of each shard's first row; lines, that row's line from 1
    end      byte offset after the last shard
    kind     kind of the first row; a model's rate depends on it
    problems rows that are unusable and will be error rows
    listed   whether the manifest is one JSON list
    """

    rows: int
    shard_rows: int
    end: int
    kind: RowKind
    problems: int
    offsets: "array[int]"
    lines: "array[int]"
    listed: bool = False

    def __len__(self) -> int:
        return len(self.offsets)

    def shard(self, number: int) -> Shard:
        offset, first = self.offsets[number], number * self.shard_rows
        end = self.offsets[number + 1] if number + 1 < len(self) else self.end
        return Shard(
            number=number,
            offset=offset,
            length=end - offset,
            first_index=first,
            first_line=self.lines[number],
            rows=min(self.shard_rows, self.rows - first),
            listed=self.listed,
        )

    def __iter__(self) -> Iterator[Shard]:
        return map(self.shard, range(len(self)))

    def to_json(self) -> bytes:
        columns = {"offsets": self.offsets.tolist(), "lines": self.lines.tolist()}
        numbers = {name: getattr(self, name) for name in _NUMBERS}
        plan = {"schema_version": SCHEMA, "kind": self.kind, "listed": self.listed, **numbers, **columns}
        return json.dumps(plan, separators=(",", ":")).encode()

    @classmethod
    def from_json(cls, data: bytes, where: str) -> "Plan":
        """Parse a plan. Raises LedgerError, which names `where`, if it is not usable: NewerLedger if it has a
        later schema version."""
        try:
            found = json.loads(data)
            if found["schema_version"] > SCHEMA:
                raise NewerLedger(f"{where} was written by a newer savs; upgrade this one")
            if found["schema_version"] != SCHEMA:
                raise ValueError(f"its schema is {found['schema_version']}, but this savs reads {SCHEMA}")
            plan = cls(
                kind=found["kind"],
                listed=_flag(found["listed"]),
                offsets=array("q", found["offsets"]),
                lines=array("q", found["lines"]),
                **{name: _count(found[name]) for name in _NUMBERS},
            )
            plan._check()
        except KeyError as error:
            raise LedgerError(f"{where} is not a usable plan: it has no {error}") from error
        except (ValueError, TypeError, OverflowError, RecursionError) as error:
            raise LedgerError(f"{where} is not a usable plan: {why_invalid(error)}") from error
        return plan

    def _check(self) -> None:
        ends = [*self.offsets[1:], self.end]
        if self.kind not in get_args(RowKind) or self.shard_rows < 1 or len(self.lines) != len(self):
            raise ValueError("its fields contradict each other")
        if len(self) != -(-self.rows // self.shard_rows) or not len(self):
            raise ValueError(f"{self.rows} rows do not fill {len(self)} shards of {self.shard_rows}")
        if self.offsets[0] < 0 or any(a >= b for a, b in zip(self.offsets, ends, strict=True)):
            raise ValueError("its offsets do not ascend")
        least = 0 if self.listed else 1  # a whole list may be on one line
        if self.lines[0] < 1 or any(b - a < least for a, b in pairwise(self.lines)):
            raise ValueError("its lines do not ascend")


_NUMBERS = ("rows", "shard_rows", "end", "problems")


def _flag(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError("a field is neither true nor false")
    return value


def _count(value: Any) -> int:
    if not isinstance(value, int) or value < 0:
        raise ValueError("a field is not a count")
    return value

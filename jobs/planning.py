"""Cuts a manifest into shards by byte offset, in one pass that validates every row and keeps none.

A plan of 10^8 rows is two columns of numbers. What has failed may be planned again, as further
shards (`Retry`); see `jobs.retrying`.
"""

import json
from array import array
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import IO, Annotated, Any, Literal

from pydantic import Field

from jobs.specs import SCHEMA, Strict
from savs.errors import BadLine, BadRow, LedgerError, ManifestError, SettingsError
from savs.formats import Fields, format_of
from savs.media import is_video
from savs.rows import Line, is_list, read_rows
from savs.samples import Reading, fields_of, folder_of, head_of, parse_row
from savs.storage import open_parent

Kind = Literal["image", "video", "text"]

SHARD_SECONDS = 120.0  # of one worker's time that a shard aims at, where the model's rate is known
SHARD_ROWS: Mapping[Kind, int] = {"image": 256, "video": 64, "text": 256}  # where it is not
MAX_SHARD_ROWS = 20_000  # a shard's rows and answers are in a worker's memory
MIN_SHARD_ROWS = 16


class Shard(Strict):
    """A run of rows in the manifest: where its bytes lie, and the first row's index and line.

    listed where the manifest is one JSON list
    retry  where the rows are redone: the number of the `Retry` that lists them; `first_index` is
           the first of them, and the other places mean nothing
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
    end      byte offset behind the last shard
    kind     what the first row shows: a model's rate differs by far
    problems rows that are unusable and will be error rows
    listed   whether the manifest is one JSON list
    """

    rows: int
    shard_rows: int
    end: int
    kind: Kind
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
        """Raises LedgerError naming `where`."""
        try:
            found = json.loads(data)
            if found["schema_version"] != SCHEMA:
                raise ValueError(f"its schema is {found['schema_version']}, and this savs knows {SCHEMA}")
            plan = cls(
                kind=found["kind"],
                listed=_flag(found["listed"]),
                offsets=array("q", found["offsets"]),
                lines=array("q", found["lines"]),
                **{name: _count(found[name]) for name in _NUMBERS},
            )
            plan._check()
        except (ValueError, TypeError, KeyError, OverflowError, RecursionError) as error:
            raise LedgerError(f"{where} is not a usable plan: {error!r}") from error
        return plan

    def _check(self) -> None:
        ends = [*self.offsets[1:], self.end]
        if self.kind not in SHARD_ROWS or self.shard_rows < 1 or len(self.lines) != len(self):
            raise ValueError("it contradicts itself")
        if len(self) != -(-self.rows // self.shard_rows) or not len(self):
            raise ValueError(f"{self.rows} rows do not fill {len(self)} shards of {self.shard_rows}")
        if self.offsets[0] < 0 or any(a >= b for a, b in zip(self.offsets, ends, strict=True)):
            raise ValueError("its offsets do not ascend")
        least = 0 if self.listed else 1  # a list may stand on one line, whole
        if self.lines[0] < 1 or any(b - a < least for a, b in pairwise(self.lines)):
            raise ValueError("its lines do not ascend")


_NUMBERS = ("rows", "shard_rows", "end", "problems")


def _flag(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError(f"{value!r} is neither true nor false")
    return value


def _count(value: Any) -> int:
    if not isinstance(value, int) or value < 0:
        raise ValueError(f"{value!r} is not a count")
    return value


@dataclass
class Survey:
    """What a pass over a manifest finds besides its shards.

    labels   rows per label; kept for `MAX_LABELS` labels at most
    bad      the first unusable rows
    unknown  fields that the format does not know, and the first line that has each
    """

    MAX_LABELS = 100_000
    MAX_UNKNOWN = 20

    good_rows: int = 0
    labels: Counter[str] = field(default_factory=Counter)
    bad: list[BadLine] = field(default_factory=list)
    problems: int = 0
    kind: Kind | None = None
    unknown: dict[str, int] = field(default_factory=dict)

    @property
    def rows(self) -> int:
        return self.good_rows + self.problems

    def good(self, fields: Fields) -> None:
        self.good_rows += 1
        label = fields.label
        if label is not None and (label in self.labels or len(self.labels) < self.MAX_LABELS):
            self.labels[label] += 1
        if self.kind is None:
            self.kind = kind_of(fields)

    def strange(self, names: Iterable[str], line: int) -> None:
        for name in names:
            if len(self.unknown) < self.MAX_UNKNOWN:
                self.unknown.setdefault(name, line)

    def wrong(self, line: int, reason: str) -> None:
        self.problems += 1
        if len(self.bad) < ManifestError.SHOWN:
            self.bad.append(BadLine(line, reason))


def kind_of(fields: Fields) -> Kind:
    if any(is_video(path) for path in fields.media):
        return "video"
    return "image" if fields.media else "text"


def plan_manifest(
    url: str,
    shard_rows: int | None,
    *,
    labelled: bool,
    reading: Reading | None = None,
    rates: Mapping[str, float] | None = None,
    survey: Survey | None = None,
) -> Plan:
    """The shards of the manifest at `url`.

    shard_rows  rows of a shard; None: as many as take SHARD_SECONDS
    reading     by default the `general` format, with media beside the manifest
    rates       items a second of one worker per kind of row, as far as they were measured
    survey      is filled on the way

    With `labelled`, unusable rows raise a ManifestError that lists them; otherwise they are counted
    and left to their shards, where they become error rows. A JSON list that is none raises one, too.
    Raises SettingsError where there is not one row, or with `labelled` only one class; and NotFound.
    """
    found = survey or Survey()
    store, key = open_parent(url)
    reading = reading or Reading(folder_of(url))
    known = format_of(reading.format).fields
    offsets, lines = array("q"), array("q")
    rows = end = 0
    size = shard_rows
    with store.open(key) as stream:
        listed = is_list(head_of(stream))
        for line in manifest_rows(stream, listed, url):
            try:
                row = parse_row(line)
                found.good(fields_of(row, reading.format, labelled=labelled))
                if not known >= row.keys():
                    found.strange(row.keys() - known, line.number)
            except BadRow as error:
                found.wrong(line.number, str(error))
            if size is None:
                size = shard_rows_for(found.kind or "image", rates or {})
            if rows % size == 0:
                offsets.append(line.offset)
                lines.append(line.number)
            rows, end = rows + 1, line.offset + line.length
    if labelled and found.problems:
        raise ManifestError(url, found.bad, found.problems)
    if size is None or not rows:
        raise SettingsError(f"{url} has no rows")
    if labelled and len(found.labels) == 1:
        [label] = found.labels
        raise SettingsError(f"{url}: every label is {label!r}; at least two classes are needed")
    return Plan(rows, size, end, found.kind or "image", found.problems, offsets, lines, listed)


def manifest_rows(stream: IO[bytes], listed: bool, url: str) -> Iterator[Line]:
    """The rows of the manifest at `url`. Raises ManifestError where it is a JSON list that is none."""
    line = 1
    try:
        for row in read_rows(stream, listed):
            line = row.number
            yield row
    except BadRow as error:
        raise ManifestError(url, [BadLine(line, f"at or behind this line: {error}")]) from error


def shard_rows_for(kind: Kind, rates: Mapping[str, float]) -> int:
    """Rows that take one worker SHARD_SECONDS, where its rate is known."""
    if kind not in rates:
        return SHARD_ROWS[kind]
    return int(min(max(rates[kind] * SHARD_SECONDS, MIN_SHARD_ROWS), MAX_SHARD_ROWS))

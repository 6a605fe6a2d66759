"""Cuts a manifest into shards by byte offset, in one pass, without keeping its rows."""

from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import Field

from jobs.specs import SCHEMA, Strict
from savs.errors import BadLine, BadRow, ManifestError, SettingsError
from savs.samples import Line, folder_of, parse_line, read_lines
from savs.storage import open_parent


class Shard(Strict):
    """A run of rows in the manifest: where its bytes lie, and the first row's index and line."""

    number: Annotated[int, Field(ge=0)]
    offset: Annotated[int, Field(ge=0)]
    length: Annotated[int, Field(ge=0)]
    first_index: Annotated[int, Field(ge=0)]
    first_line: Annotated[int, Field(ge=1)]
    rows: Annotated[int, Field(ge=1)]


class Plan(Strict):
    """`shards.json`."""

    schema_version: Literal[1] = SCHEMA
    rows: int
    shards: tuple[Shard, ...]


@dataclass
class _Open:
    """The shard that is being filled."""

    first: Line
    end: int
    rows: int

    def close(self, number: int) -> Shard:
        return Shard(
            number=number,
            offset=self.first.offset,
            length=self.end - self.first.offset,
            first_index=self.first.index,
            first_line=self.first.number,
            rows=self.rows,
        )


def plan_manifest(url: str, shard_size: int, *, labelled: bool) -> Plan:
    """The shards of the manifest at `url`, of `shard_size` rows each.

    With `labelled` every row is validated, and ManifestError lists those that are unusable;
    otherwise an unusable row is left for its shard, where it becomes an error row. Raises
    SettingsError where there is not one row, or with `labelled` only one class, and NotFound.
    """
    store, key = open_parent(url)
    shards: list[Shard] = []
    bad: list[BadLine] = []
    labels: set[str] = set()
    wrong = 0
    current: _Open | None = None
    with store.open(key) as stream:
        for line in read_lines(stream):
            if labelled:
                try:
                    labels.add(parse_line(line, folder_of(url), labelled=True).label or "")
                except BadRow as error:
                    wrong += 1
                    if len(bad) < ManifestError.SHOWN:
                        bad.append(BadLine(line.number, str(error)))
            if current is None:
                current = _Open(line, line.offset, 0)
            current.end, current.rows = line.offset + line.length, current.rows + 1
            if current.rows == shard_size:
                shards.append(current.close(len(shards)))
                current = None
    if wrong:
        raise ManifestError(url, bad, wrong)
    if current is not None:
        shards.append(current.close(len(shards)))
    if not shards:
        raise SettingsError(f"{url} has no rows")
    if len(labels) == 1:
        raise SettingsError(f"{url}: every label is {labels.pop()!r}; at least two classes are needed")
    return Plan(rows=sum(s.rows for s in shards), shards=tuple(shards))

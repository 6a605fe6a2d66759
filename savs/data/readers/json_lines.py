"""Rows of JSONL and JSON that are compressed, or whose fields or labels are called otherwise."""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from itertools import chain
from typing import IO

from savs.data.readers.columns import Columns, choose_columns, row_of
from savs.data.readers.reader import Given, Row, unusable
from savs.data.rows import Line, is_list, read_rows
from savs.data.samples import Reading, head_of, parse_row
from savs.errors import BadRow, DatasetError, SettingsError

FIRST_ROWS, FIRST_BYTES = 100, 2**20  # rows that are looked at for the names of fields, and their bytes
MOST_KNOWN = 1000  # sets of names that are remembered


class JsonReader:
    """A file of rows in JSON, whose `stream` is at its beginning.

    etag    that identifies its content
    mapped  whether its fields have names of their own; otherwise rows stay as they are
    """

    def __init__(self, stream: IO[bytes], address: str, etag: str, given: Given, mapped: bool) -> None:
        self.address, self.etag, self.given = address, etag, given
        listed = is_list(head_of(stream))
        self.kind = "JSON" if listed else "JSONL"
        self.lines = read_rows(stream, listed)
        self.number = 0  # of the line that was read last
        self.columns: Columns | None = None
        self.known: dict[tuple[str, ...], Columns] = {}
        self.first: list[Line] = []
        if mapped:
            names = self._first_names()
            if self.first:
                self.columns = choose_columns(names, given, address)

    def _first_names(self) -> list[str]:
        """Return the names in the first rows, which are kept: rows need not have the same ones."""
        names: dict[str, None] = {}
        size = 0
        while len(self.first) < FIRST_ROWS and size < FIRST_BYTES and (line := self._next()) is not None:
            self.first.append(line)
            size += len(line.data)
            with suppress(BadRow):
                names |= dict.fromkeys(parse_row(line))
        return [*names]

    def _next(self) -> Line | None:
        try:
            line = next(self.lines, None)
        except (BadRow, OSError, EOFError) as error:
            raise DatasetError(
                f"{self.address} cannot be read beyond line {self.number}: {error}; is it complete?"
            ) from error
        self.number = line.number if line else self.number
        return line

    def found(self) -> str:
        return "" if self.columns is None else str(self.columns)

    def identity(self) -> str:
        return self.etag

    def rows(self) -> Iterator[Row]:
        for line in chain(self.first, iter(self._next, None)):
            try:
                yield self._row(parse_row(line))
            except BadRow as error:
                yield unusable(f"{self.address}:{line.number}", str(error))

    def _row(self, found: Row) -> Row:
        if self.columns is None:
            return found
        columns = self._columns_of(tuple(found))
        return row_of(found, columns, Reading(self.given.base or ""), self.given.class_names)

    def _columns_of(self, names: tuple[str, ...]) -> Columns:
        """Return the columns of a row with these names. A field that the user has named is in no other."""
        if names not in self.known:
            if len(self.known) >= MOST_KNOWN:
                self.known.clear()
            there = {field: name for field, name in self.given.columns.items() if name in names}
            try:
                found = choose_columns(names, replace(self.given, columns=there, labelled=False), "it")
            except SettingsError as error:
                raise BadRow(str(error)) from error
            fields = {f: n for f, n in found.fields.items() if f in there or f not in self.given.columns}
            others = tuple(name for name in names if name and name not in fields.values())
            if "image" not in fields and "question" not in fields:
                raise BadRow(f"it has no {self.given.columns.get('image', 'image')!r}")
            self.known[names] = Columns(fields, others)
        return self.known[names]

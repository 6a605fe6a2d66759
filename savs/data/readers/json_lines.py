"""Rows of JSONL and JSON that are compressed, or whose fields or labels are called otherwise."""

from collections.abc import Iterator
from dataclasses import replace
from typing import IO

from savs.data.readers.columns import Columns, choose_columns, row_of
from savs.data.readers.reader import Given, Row, unusable
from savs.data.rows import is_list, read_rows
from savs.data.samples import Reading, head_of, parse_row
from savs.errors import BadRow, DatasetError, SettingsError


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
        self.first = next(self.lines, None)
        self.columns: Columns | None = None
        self.known: dict[tuple[str, ...], Columns] = {}
        if self.first is not None and mapped:
            self.columns = choose_columns([*parse_row(self.first)], given, address)

    def found(self) -> str:
        return "" if self.columns is None else str(self.columns)

    def identity(self) -> str:
        return self.etag

    def rows(self) -> Iterator[Row]:
        line = self.first
        while line is not None:
            number = line.number
            try:
                yield self._row(parse_row(line))
            except BadRow as error:
                yield unusable(f"{self.address}:{number}", str(error))
            try:
                line = next(self.lines, None)
            except (BadRow, OSError, EOFError) as error:
                raise DatasetError(
                    f"{self.address} cannot be read beyond line {number}: {error}; is it complete?"
                ) from error

    def _row(self, found: Row) -> Row:
        if self.columns is None:
            return found
        columns = self._columns_of(tuple(found))
        return row_of(found, columns, Reading(self.given.base or ""), self.given.class_names)

    def _columns_of(self, names: tuple[str, ...]) -> Columns:
        """Return the columns of a row with these names: rows need not have the same ones."""
        if names not in self.known:
            there = {field: name for field, name in self.given.columns.items() if name in names}
            try:
                self.known[names] = choose_columns(
                    names, replace(self.given, columns=there, labelled=False), "it"
                )
            except SettingsError as error:
                raise BadRow(str(error)) from error
        return self.known[names]

"""Rows of JSONL and JSON that are compressed, or whose fields or labels are called otherwise."""

from collections.abc import Iterator
from typing import IO

from savs.data.readers.columns import Columns, choose_columns, row_of
from savs.data.readers.reader import Given, Row, unusable
from savs.data.rows import is_list, read_rows
from savs.data.samples import Reading, head_of, parse_row
from savs.errors import BadRow, DatasetError


class JsonReader:
    """A file of rows in JSON, whose `stream` is at its beginning. Without columns or class names that are
    given, its rows stay as they are.

    etag  that identifies its content
    """

    def __init__(self, stream: IO[bytes], address: str, etag: str, given: Given) -> None:
        self.address, self.etag, self.given = address, etag, given
        listed = is_list(head_of(stream))
        self.kind = "JSON" if listed else "JSONL"
        self.lines = read_rows(stream, listed)
        self.first = next(self.lines, None)
        self.columns: Columns | None = None
        if self.first is not None and (given.columns or given.class_names):
            self.columns = choose_columns([*parse_row(self.first)], given, address)

    def found(self) -> str:
        return "its own fields" if self.columns is None else str(self.columns)

    def identity(self) -> str:
        return self.etag

    def rows(self) -> Iterator[Row]:
        line = self.first
        while line is not None:
            try:
                yield self._row(parse_row(line))
            except BadRow as error:
                yield unusable(f"{self.address}:{line.number}", str(error))
            try:
                line = next(self.lines, None)
            except (BadRow, OSError, EOFError) as error:
                raise DatasetError(
                    f"{self.address} cannot be read beyond line {line.number}: {error}; is it complete?"
                ) from error

    def _row(self, found: Row) -> Row:
        if self.columns is None:
            return found
        fields = self.columns.fields
        others = tuple(name for name in found if name not in fields.values())
        return row_of(found, Columns(fields, others), Reading(self.given.base or ""), self.given.class_names)

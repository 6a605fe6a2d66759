"""Rows of Parquet and Arrow files, as Hugging Face's `datasets` writes them, too. Columns of bytes are not
read: images in them are opened where they are, when they are shown to the model."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import IO, TYPE_CHECKING, Any

from savs.data.containers.table_check import check_tables
from savs.data.containers.tables import (
    PARQUET,
    arrow_batches,
    arrow_schema,
    mark_of,
    needed_pyarrow,
    open_file,
    open_parquet,
)
from savs.data.formats import CELLS
from savs.data.readers.cells import check_read, rows_in
from savs.data.readers.columns import Columns, choose_columns, row_of
from savs.data.readers.layout import Layout
from savs.data.readers.reader import Given, Row, unusable
from savs.data.samples import Reading, base_of, locate
from savs.errors import BadRow, DatasetError

if TYPE_CHECKING:
    import pyarrow
    import pyarrow.parquet

ROWS_AT_ONCE = 4096


@dataclass(frozen=True)
class _Batch:
    """Rows that are read at once, without the bytes of media.

    place  of their batch in an Arrow file; None in Parquet
    first  the number of the first one in that batch
    paths  of media that have no bytes, and True in place of those that have; None if all have bytes
    """

    rows: Sequence[dict[str, Any]]
    place: int | None = None
    first: int = 0
    paths: Sequence[Any] | None = None


@dataclass(frozen=True)
class _Part:
    """How the rows of one file are read.

    cell    column and level of the bytes of media; "" if media are files
    image   its column
    path    column and level of the path of media that have no bytes; "" if there is none
    """

    address: str
    mark: str
    columns: Columns
    class_names: Sequence[str]
    cell: str = ""
    image: str = ""
    path: str = ""

    @property
    def names(self) -> list[str]:
        """The columns that are read in any case."""
        return [*self.columns.fields.values(), *self.columns.others]


class ColumnarReader:
    """Parquet or Arrow files with the same columns, in order."""

    def __init__(self, addresses: Sequence[str], given: Given) -> None:
        needed_pyarrow(addresses[0])
        self.addresses = addresses
        with open_file(addresses[0]) as stream:
            self.kind = "Parquet" if stream.read(len(PARQUET)) == PARQUET else "Arrow"
        if self.kind == "Parquet":
            check_tables(addresses)
        with open_file(addresses[0]) as stream:
            self.layout = self._layout(stream, addresses[0])
        self.columns = self.layout.without_bytes(
            choose_columns(self.layout.names, given, addresses[0]), addresses[0]
        )
        self.given = replace(given, base=given.base or base_of(addresses[0]))
        self.marks: list[str] = []
        for address in addresses:
            with open_file(address) as stream:
                self.marks.append(mark_of(stream))

    def found(self) -> str:
        files = f"{len(self.addresses):,} files, " if len(self.addresses) > 1 else ""
        names = self._class_names(self.layout)
        return f"{files}{self.columns}{f'; {len(names)} class names' if names else ''}"

    def _class_names(self, layout: Layout) -> Sequence[str]:
        """Return the names of numeric labels in a file: another one may number them differently."""
        return self.given.class_names or layout.classes.get(self.columns.fields.get("label", ""), ())

    def identity(self) -> str:
        return " ".join(self.marks)

    def rows(self) -> Iterator[Row]:
        for address, mark in zip(self.addresses, self.marks, strict=True):
            with open_file(address) as stream:
                yield from self._rows_of(stream, self._part(stream, address, mark))

    def _part(self, stream: IO[bytes], address: str, mark: str) -> _Part:
        layout = self._layout(stream, address)
        if missing := [one for one in self.columns.fields.values() if one not in layout.names]:
            raise DatasetError(f"{address} has no column {missing[0]!r}, which {self.addresses[0]} has")
        others = tuple(name for name in self.columns.others if name in layout.names)
        columns = layout.without_bytes(Columns(self.columns.fields, others), address)
        classes = self._class_names(layout)
        image = columns.fields.get("image", "")
        if image not in layout.cells:
            return _Part(address, mark, columns, classes)
        fields = {field: name for field, name in columns.fields.items() if field != "image"}
        cell, path = layout.cells[image], layout.paths.get(image, "")
        return _Part(address, mark, Columns(fields, columns.others), classes, cell, image, path)

    def _rows_of(self, stream: IO[bytes], part: _Part) -> Iterator[Row]:
        reading = Reading(self.given.base or "")
        number = 0
        for batch in self._batches(stream, part):
            for at, values in enumerate(batch.rows):
                try:
                    check_read(values)
                    row = row_of(values, part.columns, reading, part.class_names)
                    path = True if batch.paths is None else batch.paths[at]
                    if part.cell and path is not True:
                        row["image"] = [locate(_checked(path, part.image), reading)]
                    elif part.cell:
                        arrow = batch.place is not None
                        place = [batch.first + at, part.mark, batch.place] if arrow else [number, part.mark]
                        row["image"] = [f"{part.address}#row={number}"]
                        row[CELLS] = [[len(part.address), part.cell, *place]]
                except BadRow as error:
                    row = unusable(f"{part.address}#row={number}", str(error))
                yield row
                number += 1

    def _layout(self, stream: IO[bytes], address: str) -> Layout:
        import pyarrow

        try:
            if self.kind == "Parquet":
                return Layout.of(open_parquet(stream, address).schema_arrow)
            return Layout.of(arrow_schema(stream))
        except (pyarrow.ArrowException, OSError, ValueError) as error:  # also of names that are not UTF-8
            raise DatasetError(f"{address} is no whole {self.kind} file: {error}") from error
        finally:
            stream.seek(0)

    def _batches(self, stream: IO[bytes], part: _Part) -> Iterator[_Batch]:
        import pyarrow

        batches = _parquet_batches if self.kind == "Parquet" else _arrow_batches
        try:
            yield from batches(stream, part)
        except (pyarrow.ArrowException, OSError, ValueError, OverflowError, MemoryError) as error:
            raise DatasetError(f"{part.address} cannot be read to its end: {error}") from error


def _checked(path: Any, column: str) -> str:
    if not isinstance(path, str) or not path.strip():
        raise BadRow(f"{column!r} is empty")
    return path


def _parquet_batches(stream: IO[bytes], part: _Part) -> Iterator[_Batch]:
    file = open_parquet(stream, part.address)
    for group in range(file.num_row_groups):
        metadata = file.metadata.row_group(group)
        nulls = _nulls(metadata, part.cell) if part.cell else 0
        # Bytes are read only where nobody else can tell which rows have some.
        names = [*part.names, *([part.path] if nulls and part.path else [])]
        names += [part.cell] if 0 < nulls < metadata.num_rows else []
        if not names:
            yield from _empty(metadata.num_rows, [None] if nulls else None)
            continue
        for batch in file.iter_batches(ROWS_AT_ONCE, row_groups=[group], columns=names, use_threads=False):
            yield _Batch(_rows_in(batch, part), paths=_paths(batch, part) if nulls else None)


def _nulls(group: "pyarrow.parquet.RowGroupMetaData", cell: str) -> int:
    """Return how many rows of a group have no bytes, as far as the file says so."""
    for chunk in map(group.column, range(group.num_columns)):
        if chunk.path_in_schema == cell and chunk.statistics is not None and chunk.statistics.has_null_count:
            return int(chunk.statistics.null_count)
    return 0


def _arrow_batches(stream: IO[bytes], part: _Part) -> Iterator[_Batch]:
    for place, whole in arrow_batches(stream, [*part.names, *filter(None, [part.image])]):
        if place is None and part.cell:
            raise DatasetError(
                f"{part.address} is an Arrow stream with a dictionary, in which images cannot be found "
                "again; write it as an Arrow file, or as Parquet"
            )
        for first in range(0, whole.num_rows, ROWS_AT_ONCE):
            batch = whole.slice(first, ROWS_AT_ONCE)
            yield _Batch(_rows_in(batch, part), place, first, _paths(batch, part) if part.cell else None)


def _rows_in(batch: "pyarrow.RecordBatch", part: _Part) -> Sequence[dict[str, Any]]:
    return rows_in(batch.select(part.names)) if part.names else [{}] * batch.num_rows


def _paths(batch: "pyarrow.RecordBatch", part: _Part) -> list[Any]:
    from pyarrow import compute

    if part.image not in batch.schema.names:
        return [None] * batch.num_rows
    column = batch.column(part.image)
    levels = {field.name for field in column.type} if part.cell != part.image else set()
    paths = [None] * batch.num_rows
    if "path" in levels and part.path:
        paths = compute.struct_field(column, "path").to_pylist()
    if levels and "bytes" not in levels:
        return paths
    cells = compute.struct_field(column, "bytes") if levels else column
    return [has or path for has, path in zip(compute.is_valid(cells).to_pylist(), paths, strict=True)]


def _empty(rows: int, paths: list[None] | None) -> Iterator[_Batch]:
    for first in range(0, rows, ROWS_AT_ONCE):
        count = min(ROWS_AT_ONCE, rows - first)
        yield _Batch([{}] * count, paths=paths and paths * count)

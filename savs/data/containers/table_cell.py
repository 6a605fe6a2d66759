"""Opens media in the cells of Parquet and Arrow files."""

import io
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from threading import Lock
from typing import IO, Any

from savs.data.confined import inside_of
from savs.data.containers.contained import Cell, ContainedPath
from savs.data.containers.table_check import check_table
from savs.data.containers.tables import arrow_batch, mark_of, name_of, needed_pyarrow, open_file, open_parquet
from savs.errors import (
    DatasetError,
    ForbiddenMedia,
    MediaTooLarge,
    MissingMedia,
    NotFound,
    OutsideLink,
    SettingsError,
    StorageError,
    UnreadableMedia,
)

KEPT = 2  # groups of rows in memory: a shard's rows follow each other
MAX_GROUP_BYTES = 2**30  # of a column in one group of rows


@dataclass
class _Group:
    """The cells of one column in a group of rows, once they are read; `first` is the number of the first."""

    lock: Lock = field(default_factory=Lock)
    first: int = 0
    cells: Any = None


@dataclass
class _Groups:
    """Groups of rows that were read last. Threads that need the same one wait for the first of them."""

    lock: Lock = field(default_factory=Lock)
    kept: "OrderedDict[tuple[Any, ...], _Group]" = field(default_factory=OrderedDict)

    def of(self, key: tuple[Any, ...]) -> _Group:
        with self.lock:
            group = self.kept.pop(key, None) or _Group()
            self.kept[key] = group
            while len(self.kept) > KEPT:
                self.kept.popitem(last=False)
            return group


GROUPS = _Groups()


@contextmanager
def open_cell(address: ContainedPath) -> Iterator[IO[bytes]]:
    """Yield the bytes of a cell. Raises MissingMedia if its file does not exist, has changed, or has no bytes
    there; ForbiddenMedia if a link leads out of the folders that may be read; MediaTooLarge if a group of
    rows is; and UnreadableMedia."""
    try:
        pyarrow = needed_pyarrow(address.container)
        data = _read(address)
    except OutsideLink as error:
        raise ForbiddenMedia(str(error)) from error
    except NotFound as error:
        raise MissingMedia(f"{address.container} does not exist") from error
    except (StorageError, SettingsError, DatasetError) as error:
        raise UnreadableMedia(str(error)) from error
    except MemoryError as error:
        raise MediaTooLarge(f"{address}: there is no memory for its group of rows") from error
    except (pyarrow.ArrowException, OSError, ValueError, LookupError, OverflowError) as error:
        raise UnreadableMedia(f"{address} cannot be read: {error}") from error
    if not data:
        raise MissingMedia(f"{address} holds no bytes")
    yield io.BytesIO(data)


def _read(address: ContainedPath) -> bytes | None:
    place = address.place
    assert isinstance(place, Cell)
    inside = inside_of(address.container)
    with open_file(address.container, inside) as stream:
        if mark_of(stream) != place.mark:
            raise MissingMedia(f"{address.container} has changed since its rows were read; submit it again")
        if place.batch is None:
            check_table(str(address.container), place.mark, inside)
            file = open_parquet(stream, address.container)
            number, first = _group_of(file.metadata, place.row)
        else:
            number, first = place.batch, 0
        group = GROUPS.of((str(address.container), place.mark, place.column, number))
        with group.lock:
            if group.cells is None:
                if place.batch is None:
                    _check_size(file.metadata.row_group(number), place.column, address)
                    table = file.read_row_group(number, columns=[place.column], use_threads=False)
                else:
                    table = arrow_batch(stream, place.batch, place.column)
                group.cells, group.first = _level(table, place.column), first
        found = group.cells[place.row - group.first].as_py()
    return found if isinstance(found, bytes | None) else None


def _group_of(metadata: Any, row: int) -> tuple[int, int]:
    """Return the group that has a row, and the number of its first row. Raises IndexError."""
    first = 0
    for number in range(metadata.num_row_groups):
        rows = metadata.row_group(number).num_rows
        if row < first + rows:
            return number, first
        first += rows
    raise IndexError(f"it has {first} rows")


def _check_size(group: Any, column: str, address: ContainedPath) -> None:
    sizes = [
        chunk.total_uncompressed_size
        for chunk in map(group.column, range(group.num_columns))
        if f"{chunk.path_in_schema}.".startswith(f"{column}.")
    ]
    if sum(sizes) > MAX_GROUP_BYTES:
        raise MediaTooLarge(
            f"{address}: its group of rows has {sum(sizes)} bytes, and at most {MAX_GROUP_BYTES} are read at "
            "once; write the file with smaller row groups"
        )


def _level(table: Any, column: str) -> Any:
    name = name_of(column, table.schema.names)
    cells = table.column(name)
    if name != column:
        from pyarrow import compute

        cells = compute.struct_field(cells, column.removeprefix(f"{name}."))
    return cells

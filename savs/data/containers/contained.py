"""Addresses of media inside of containers: `a.tar#b.jpg`, `a.parquet#row=17`."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from savs.data.web import is_web
from savs.errors import BadRow

MOST = 2**62  # of a number: beyond any file, and within what systems count to


@dataclass(frozen=True)
class Member:
    """A member of a tar: the offset of its header, or of the first of its extended headers, and the number of
    its own bytes behind them."""

    header: int
    size: int


@dataclass(frozen=True)
class Cell:
    """A cell of a table: a column, whose levels are separated by a dot, the row, and what identifies the
    table's content (`mark_of` of the tables). In an Arrow file, rows count from the batch at a place."""

    column: str
    row: int
    mark: str
    batch: int | None = None


class ContainedPath(str):
    """The address of a medium inside of a container.

    container  address of the container
    place      where it is in there
    """

    container: str
    place: Member | Cell

    @classmethod
    def of(cls, address: str, container: str, place: Member | Cell) -> "ContainedPath":
        found = cls(address)
        found.container, found.place = container, place
        return found


def contained(media: Sequence[str], places: Any) -> tuple[str, ...]:
    """Return the media of a row with their places: [length of the container's address, header, size] in a
    tar, [the same length, column, row, mark] in Parquet, with the batch behind it in Arrow, or null for a
    file. Raises BadRow if they are something else."""
    if not isinstance(places, list) or len(places) != len(media):
        raise BadRow("'$cells' must have a place for each medium")
    return tuple(map(_contained, media, places))


def _contained(address: str, place: Any) -> str:
    if place is None:
        return address
    match place:
        case [int(end), int(header), int(size)] if _is_inside(address, end, header, size):
            return ContainedPath.of(address, address[:end], Member(header, size))
        case [int(end), str(column), int(row), str(mark)] if _is_inside(address, end, row):
            return ContainedPath.of(address, address[:end], Cell(column, row, mark))
        case [int(end), str(column), int(row), str(mark), int(batch)] if _is_inside(address, end, row, batch):
            return ContainedPath.of(address, address[:end], Cell(column, row, mark, batch))
    raise BadRow(f"'$cells' has {place!r:.40}, which is no place in a container")


def _is_inside(address: str, end: int, *numbers: int) -> bool:
    """Return whether the address of a container in a folder or a bucket can end at `end`, and places in it
    have these numbers."""
    if any(type(number) is bool or not 0 <= number < MOST for number in (end, *numbers)):
        return False
    return address[end : end + 1] == "#" and not is_web(address[:end])


def container_of(address: str) -> str:
    """Return the address of the file that holds a medium: its container, or itself."""
    return address.container if isinstance(address, ContainedPath) else address

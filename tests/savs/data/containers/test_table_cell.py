"""Media in cells of tables, whose places may come from a stranger: what is wrong costs one row."""

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pyarrow
import pytest
from pyarrow import ipc, parquet

from jobs.shards.allowed_roots import Roots
from savs.data.containers import table_cell
from savs.data.containers.contained import Cell, ContainedPath, contained
from savs.data.containers.media import open_contained
from savs.data.containers.tables import mark_of
from savs.data.samples import Sample
from savs.errors import BadRow, ForbiddenMedia, ItemError, MediaTooLarge, MissingMedia, UnreadableMedia

ROWS, GROUP = 40, 10
CELLS = pyarrow.array([{"bytes": b"%d" % n, "path": f"{n}.jpg"} for n in range(ROWS)])
TABLE = pyarrow.table({"image": CELLS, "note": ["x"] * ROWS, "a.b": [b"%d" % n for n in range(ROWS)]})


@pytest.fixture(params=["parquet", "arrow"])
def table(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    path = tmp_path / f"rows.{request.param}"
    if request.param == "parquet":
        parquet.write_table(TABLE, path, row_group_size=GROUP)
    else:
        with ipc.new_file(path, TABLE.schema) as writer:
            writer.write_table(TABLE, GROUP)
    return path


def address(table: Path, at: int, column: str = "image.bytes", **changed: Any) -> ContainedPath:
    with table.open("rb") as stream:
        mark = mark_of(stream)
    arrow = table.suffix == ".arrow"
    place = {"row": at % GROUP if arrow else at, "mark": mark, "batch": at // GROUP if arrow else None}
    return ContainedPath.of(f"{table}#row={at}", str(table), Cell(column, **(place | changed)))


def opened(address: ContainedPath) -> bytes:
    with open_contained(address) as stream:
        return stream.read()


def test_a_cell_is_found_by_its_row_and_a_name_may_have_dots(table: Path) -> None:
    for row in (0, GROUP - 1, GROUP, ROWS - 1):
        assert opened(address(table, row)) == b"%d" % row == opened(address(table, row, "a.b"))


def test_threads_that_need_the_same_group_read_it_once(table: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read, level, start = [], table_cell._level, threading.Barrier(8)
    monkeypatch.setattr(table_cell, "_level", lambda *one: read.append(one) or level(*one))
    monkeypatch.setattr(table_cell, "GROUPS", table_cell._Groups())

    def cells(thread: int) -> list[bytes]:
        start.wait(20)
        return [opened(address(table, (thread + row) % (2 * GROUP))) for row in range(2 * GROUP)]

    with ThreadPoolExecutor(8) as threads:
        for thread, found in enumerate(threads.map(cells, range(8))):
            assert found == [b"%d" % ((thread + row) % (2 * GROUP)) for row in range(2 * GROUP)]
    assert len(read) == 2


@pytest.mark.parametrize(
    ("column", "changed", "error"),
    [
        ("image.bytes", {"row": 2**61}, UnreadableMedia),
        ("image.bytes", {"mark": "00000000"}, MissingMedia),
        ("image.nothing", {}, ItemError),
        ("nothing", {}, UnreadableMedia),
        ("image", {}, MissingMedia),
        ("note", {}, MissingMedia),
        ("", {}, UnreadableMedia),
    ],
)
def test_a_place_that_is_none_costs_the_row(
    table: Path, column: str, changed: dict[str, Any], error: type[ItemError]
) -> None:
    with pytest.raises(error):
        opened(address(table, 1, column, **changed))


@pytest.mark.parametrize("batch", [4, 2**31, 2**40, 2**61])
def test_a_batch_that_is_none_costs_the_row(tmp_path: Path, batch: int) -> None:
    for new in (ipc.new_file, ipc.new_stream):
        with new(tmp_path / "a.arrow", TABLE.schema) as writer:
            writer.write_table(TABLE, GROUP)
        with pytest.raises(UnreadableMedia):
            opened(address(tmp_path / "a.arrow", 1, batch=batch))


@pytest.mark.parametrize("column", ["image", "image.bytes"])
def test_the_size_of_a_group_is_limited_however_its_column_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, column: str
) -> None:
    parquet.write_table(TABLE, tmp_path / "a.parquet")
    monkeypatch.setattr(table_cell, "MAX_GROUP_BYTES", 50)

    with pytest.raises(MediaTooLarge, match="smaller row groups"):
        opened(address(tmp_path / "a.parquet", 1, column))


def test_a_table_that_changes_or_goes_is_missing(table: Path) -> None:
    before = address(table, 1)
    assert opened(before) == b"1"
    table.write_bytes(table.read_bytes() + b"x")
    with pytest.raises(MissingMedia, match="has changed since its rows were read"):
        opened(before)
    table.unlink()
    with pytest.raises(MissingMedia, match="does not exist"):
        opened(before)


def test_no_container_outside_of_the_roots_is_opened(table: Path, tmp_path: Path) -> None:
    inside = tmp_path / "inside"
    inside.mkdir()
    (inside / "link").symlink_to(table)
    roots = Roots.of([str(inside)], http=True)
    for container in (str(table), f"{inside}/../{table.name}", f"{inside}/link", "s3://other/x", "http:/x"):
        [medium] = contained([f"{container}#row=0"], [[len(container), "image.bytes", 0, "00000000"]])
        with pytest.raises(ForbiddenMedia):
            roots.check_media(Sample(media=(medium,)))
    # and one that is exchanged for a link after the check
    outside = address(table, 0)
    medium = ContainedPath.of(f"{inside}/link#row=0", f"{inside}/link", outside.place)
    [confined] = roots.confine(Sample(media=(medium,))).media
    with pytest.raises(ForbiddenMedia):
        opened(confined)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "place",
    [
        *(
            [4, "image", 0],
            [4, "image", 0, 5],
            [4, "image", -1, "m"],
            [4, "image", True, "m"],
            [4, 1],
            4,
            "a",
        ),
        *([True, 0, 1], [4, 0, 2**80], [4, "image", 2**80, "m"], [4, "image", 0, "m", 2**80], [4, 0.5, 1]),
        *([3, 0, 1], [2**80, 0, 1], [-2, 0, 1], {}, [[]]),
    ],
)
def test_a_place_that_cannot_be_one_is_a_bad_row(place: Any) -> None:
    with pytest.raises(BadRow, match="is no place in a container"):
        contained(["/x/y#z"], [place])


@pytest.mark.parametrize("container", ["http://x/a.tar", "HTTPS://x/a.tar"])
def test_no_container_is_read_from_the_web(container: str) -> None:
    with pytest.raises(BadRow, match="is no place in a container"):
        contained([f"{container}#z"], [[len(container), 0, 1]])

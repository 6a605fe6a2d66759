"""Parquet and Arrow: odd values cost a row, bytes are never read for nothing, and damage is told."""

import json
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyarrow import feather, ipc, parquet

from savs.data.containers.contained import Cell, ContainedPath, contained
from savs.data.containers.media import open_contained
from savs.data.containers.table_check import check_tables
from savs.data.containers.tables import mark_of
from savs.data.formats import CELLS
from savs.data.media import hash_media
from savs.data.readers.columnar import ROWS_AT_ONCE
from savs.data.readers.reader import Row
from savs.errors import DatasetError, MissingMedia, SavsError, SettingsError, UnreadableMedia
from tests.savs.data.readers.reading import read, reader_of, reasons

DAMAGED = Path(__file__).parents[3] / "data" / "damaged"
IMAGE = pyarrow.struct([("bytes", pyarrow.binary()), ("path", pyarrow.string())])


def as_parquet(table: pyarrow.Table, path: Path) -> None:
    parquet.write_table(table, path)


def as_stream(table: pyarrow.Table, path: Path) -> None:
    with ipc.new_stream(path, table.schema) as writer:
        writer.write_table(table, 2)


def as_file(table: pyarrow.Table, path: Path) -> None:
    with ipc.new_file(path, table.schema) as writer:
        writer.write_table(table, 2)


FORMS = [as_parquet, as_stream, as_file, feather.write_feather]
forms = pytest.mark.parametrize("write", FORMS, ids=["parquet", "stream", "file", "feather"])


def saved(folder: Path, write: Any = as_parquet, name: str = "rows", **columns: Any) -> Path:
    write(pyarrow.table(columns), folder / name)
    return folder / name


def shown(row: Row) -> bytes | str:
    """The bytes that a row's medium has in its cell, or its path."""
    if CELLS not in row:
        return str(row["image"][0])
    [address] = contained(row["image"], row[CELLS])
    with open_contained(address) as stream:  # type: ignore[arg-type]
        return stream.read()


@forms
def test_values_of_all_types_are_kept(tmp_path: Path, write: Any) -> None:
    path = saved(
        tmp_path,
        write,
        image=pyarrow.array(["a.jpg"], pyarrow.large_string()),
        label=pyarrow.array(["cat"]).dictionary_encode(),
        when=[datetime(2024, 5, 1)],
        fine=pyarrow.array([1], pyarrow.timestamp("ns", "Nowhere/Land")),
        late=pyarrow.array([10**15], pyarrow.timestamp("ms")),
        money=[Decimal("1.50")],
        tags=[["a", "b"]],
    )

    [row] = read(path)

    assert row["label"] == "cat" and row["image"] == [f"{tmp_path}/a.jpg"]
    extra = row["extra"]
    assert extra["fine"] == datetime(1970, 1, 1, tzinfo=UTC) and extra["late"] == 10**15
    assert (extra["when"], extra["money"], extra["tags"]) == (
        *(datetime(2024, 5, 1), Decimal("1.50"), ["a", "b"]),
    )


@forms
def test_rows_without_bytes_use_their_path_and_empty_ones_cost_a_row(tmp_path: Path, write: Any) -> None:
    cells = [{"bytes": b"1", "path": "1.jpg"}, {"bytes": None, "path": "2.jpg"}, None, {"bytes": b"4"}]
    path = saved(tmp_path, write, image=pyarrow.array(cells, IMAGE), question=["What?"] * 4)

    rows = read(path)

    assert reasons(rows)[2] == f"{path}#row=2: 'image' is empty"
    assert [shown(rows[n]) for n in (0, 1, 3)] == [b"1", f"{tmp_path}/2.jpg", b"4"]


@forms
def test_a_column_of_paths_alone_is_a_column_of_files(tmp_path: Path, write: Any) -> None:
    cells = [{"bytes": None, "path": f"{n}.jpg"} for n in range(3)]
    rows = read(saved(tmp_path, write, image=pyarrow.array(cells, IMAGE)))

    assert [shown(row) for row in rows] == [f"{tmp_path}/{n}.jpg" for n in range(3)]


@forms
@pytest.mark.parametrize("name", ["image", "my.image"])
def test_cells_are_found_again_in_every_batch(tmp_path: Path, write: Any, name: str) -> None:
    count = 5 if write is not feather.write_feather else ROWS_AT_ONCE + 5
    path = saved(tmp_path, write, **{name: [b"%d" % n for n in range(count)], "n": [*range(count)]})

    rows = read(path, columns={"image": name})

    for n in (0, 1, 2, count - 1):
        assert shown(rows[n]) == b"%d" % n and rows[n]["extra"] == {"n": n}


def test_other_columns_of_bytes_are_left_out_and_told(tmp_path: Path) -> None:
    reader = reader_of(
        saved(
            tmp_path,
            image=["a.jpg"],
            mask=[b"\xff"],
            uuid=pyarrow.array([b"\xff" * 16], pyarrow.binary(16)),
            more=pyarrow.array([[{"bytes": b"\xff", "path": None}]], pyarrow.list_(IMAGE)),
            n=[1],
        )
    )

    assert [*reader.rows()] == [{"image": [f"{tmp_path}/a.jpg"], "extra": {"n": 1}}]
    assert reader.found() == "image=image; 1 other column kept; left out: mask, uuid, more"


def test_several_paths_are_several_media_and_several_bytes_are_refused(tmp_path: Path) -> None:
    [row] = read(saved(tmp_path, images=[["a.jpg", "b.jpg"]]))
    assert row["image"] == [f"{tmp_path}/a.jpg", f"{tmp_path}/b.jpg"]

    path = saved(tmp_path, name="b", images=pyarrow.array([[{"bytes": b"x"}]], pyarrow.list_(IMAGE)))
    with pytest.raises(SettingsError, match="'images', from which 'image' is read, holds more than"):
        read(path)


def test_text_that_is_not_utf_8_costs_a_row(tmp_path: Path) -> None:
    bad = pyarrow.array([b"a.jpg", b"\xff.jpg", b"c.jpg"]).view(pyarrow.string())

    found = reasons(read(saved(tmp_path, image=bad)))

    assert found[0] is found[2] is None and "'image' cannot be read: 'utf-8'" in str(found[1])


def test_each_file_has_its_own_numbers_of_classes(tmp_path: Path) -> None:
    for number, names in enumerate((["cat", "dog"], ["dog", "cat"])):
        features = {"label": {"_type": "ClassLabel", "names": names}}
        table = pyarrow.table({"image": ["a.jpg"], "label": [0]}).replace_schema_metadata(
            {"huggingface": json.dumps({"info": {"features": features}})}
        )
        parquet.write_table(table, tmp_path / f"{number}.parquet")

    assert [row["label"] for row in read(tmp_path)] == ["cat", "dog"]


def test_a_file_that_lacks_a_column_is_named(tmp_path: Path) -> None:
    saved(tmp_path, name="0.parquet", image=["a.jpg"], label=["cat"])
    saved(tmp_path, name="1.parquet", image=["a.jpg"])

    with pytest.raises(DatasetError, match=r"1\.parquet has no column 'label', which .*0\.parquet has"):
        read(tmp_path)


def test_a_table_without_rows_gives_none(tmp_path: Path) -> None:
    assert read(saved(tmp_path, image=pyarrow.array([], pyarrow.string()))) == []


def test_images_in_a_stream_with_a_dictionary_are_refused(tmp_path: Path) -> None:
    path = saved(tmp_path, as_stream, image=[b"x"], label=pyarrow.array(["a"]).dictionary_encode())

    with pytest.raises(DatasetError, match="an Arrow stream with a dictionary"):
        read(path)


def _table() -> pyarrow.Table:
    cells = pyarrow.array([{"bytes": b"%d" % n, "path": None} for n in range(5)], IMAGE)
    labels, lists = ["cat", "dog", None, "cat", "dog"], [[1], [], [2], [], []]
    return pyarrow.table({"image": cells, "label": labels, "n": lists})


@settings(max_examples=60, deadline=None)
@given(
    write=st.sampled_from(FORMS),
    place=st.floats(0, 1),
    put=st.binary(min_size=1, max_size=8) | st.sampled_from([b"\xff" * 8, b"\0" * 8, b"\x7f"]),
    cut=st.booleans(),
)
def test_damaged_bytes_give_rows_or_an_error_of_savs(
    tmp_path_factory: pytest.TempPathFactory, write: Any, place: float, put: bytes, cut: bool
) -> None:
    path = tmp_path_factory.getbasetemp() / "damaged"
    write(_table(), path)
    data = path.read_bytes()
    at = int(place * len(data))
    path.write_bytes(data[:at] if cut else data[:at] + put + data[at + len(put) :])
    try:
        for row in read(path, kind="parquet"):
            try:
                shown(row) if "image" in row else None
            except (UnreadableMedia, MissingMedia) as error:
                assert str(path) in str(error)
    except SavsError as error:
        assert str(path) in str(error)


def test_metadata_that_end_the_process_that_reads_them_are_refused_and_cost_a_row(tmp_path: Path) -> None:
    path = tmp_path / "aborts.parquet"
    path.write_bytes((DAMAGED / "aborts-pyarrow.parquet").read_bytes())
    with pytest.raises(DatasetError, match="reading its metadata ended a process"):
        read(path)

    with path.open("rb") as stream:
        place = Cell("image.bytes", 0, mark_of(stream))
    with pytest.raises(UnreadableMedia, match="reading its metadata ended a process"):
        hash_media(ContainedPath.of(f"{path}#row=0", str(path), place))


def test_of_several_files_the_damaged_one_is_named(tmp_path: Path) -> None:
    as_parquet(_table(), tmp_path / "a.parquet")
    (tmp_path / "b.parquet").write_bytes((DAMAGED / "aborts-pyarrow.parquet").read_bytes())
    as_parquet(_table(), tmp_path / "c.parquet")

    with pytest.raises(DatasetError, match=r"b\.parquet is no whole Parquet file"):
        check_tables([str(tmp_path / f"{name}.parquet") for name in "abc"])

"""Rows in JSON whose fields are called otherwise, or that are compressed."""

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from savs.data.readers import json_lines
from savs.data.readers.detect import open_reader
from savs.data.readers.reader import Given
from savs.errors import DatasetError, SavsError
from tests.savs.data.readers.reading import read, reader_of, reasons, written


def lines(*rows: Any) -> bytes:
    return b"".join(json.dumps(row).encode() + b"\n" for row in rows)


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_a_first_row_that_is_longer_than_what_is_looked_at_first_is_understood(
    tmp_path: Path, pack: Any
) -> None:
    path = written(tmp_path, pack(lines({"note": "x" * 200_000, "file_name": "a.jpg"})))

    assert read(path)[0]["image"] == [f"{tmp_path}/a.jpg"]


def test_a_manifest_stays_one_however_long_its_first_row(tmp_path: Path) -> None:
    assert open_reader(str(written(tmp_path, lines({"note": "x" * 9000, "image": "a.jpg"}))), Given()) is None


def test_a_column_may_begin_in_a_later_row(tmp_path: Path) -> None:
    path = written(tmp_path, lines({"path": "a.jpg"}, {"path": "b.jpg", "gold": "cat"}))

    assert [row.get("label") for row in read(path, columns={"label": "gold"})] == [None, "cat"]


def test_a_row_without_a_named_column_is_not_read_from_another(tmp_path: Path) -> None:
    path = written(tmp_path, lines({"pic": "a.jpg"}, {"path": "b.jpg"}))

    found = reasons(read(path, columns={"image": "pic"}))

    assert found[0] is None and "rows:2: it has no 'pic'" in str(found[1])


def test_rows_with_names_of_their_own_do_not_fill_the_memory(tmp_path: Path) -> None:
    path = written(tmp_path, lines(*({"path": "a.jpg", f"x{number}": 1} for number in range(3000))))
    reader = reader_of(path)
    assert isinstance(reader, json_lines.JsonReader)

    assert len([*reader.rows()]) == 3000 and len(reader.known) <= json_lines.MOST_KNOWN


def test_a_bad_first_row_costs_a_row(tmp_path: Path) -> None:
    path = written(tmp_path, b'{"pic"\n' + lines({"pic": "a.jpg"}))

    found = reasons(read(path, columns={"image": "pic"}))

    assert "rows:1: not JSON" in str(found[0]) and found[1] is None


@pytest.mark.parametrize("content", [b"[,", b'[{"image": "a"}', b'[{"image": "a"}] x'])
def test_a_list_that_is_not_whole_is_refused(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(DatasetError, match="is it complete"):
        read(written(tmp_path, gzip.compress(content)))


def test_a_packed_list_gives_its_rows(tmp_path: Path) -> None:
    rows = [{"image": "a.jpg"}, {"image": "b.jpg"}]

    assert read(written(tmp_path, gzip.compress(json.dumps(rows).encode()))) == rows


@pytest.mark.parametrize("place", range(10, 3000, 97))
def test_damage_within_a_packed_file_is_an_error_of_savs(tmp_path: Path, place: int) -> None:
    data = bytearray(gzip.compress(lines(*({"image": f"{n * n}.jpg"} for n in range(1500))), mtime=0))
    data[place % len(data)] ^= 0x55
    path = written(tmp_path, bytes(data))

    with pytest.raises(SavsError, match=str(path)):
        read(path)

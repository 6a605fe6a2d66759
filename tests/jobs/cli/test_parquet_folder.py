"""`results --to parquet:DIR/`: files of some rows each, of which none is ever seen unfinished."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pyarrow import dataset, parquet

from jobs.exports.parquet_folder import write_parts
from jobs.exports.target import export
from savs.errors import SettingsError
from savs.storage import LocalStore, S3Store

ROWS = [
    {"index": n, "id": f"id-{n}", "task": "t", "media": [], "prediction": f"class {n % 3}"} for n in range(25)
]


def names(folder: Path) -> list[str]:
    return sorted(one.name for one in folder.iterdir())


def test_each_file_has_so_many_rows_and_all_are_read_as_one_table(tmp_path: Path) -> None:
    assert write_parts(ROWS, LocalStore(tmp_path), 10) == (25, 3)

    assert names(tmp_path) == ["_SUCCESS", "savs-00000.parquet", "savs-00001.parquet", "savs-00002.parquet"]
    found = dataset.dataset(tmp_path, format="parquet").to_table().to_pylist()
    assert [one["index"] for one in found] == list(range(25))
    assert [one["prediction"] for one in found] == [one["prediction"] for one in ROWS]
    assert json.loads((tmp_path / "_SUCCESS").read_text()) == {"rows": 25, "files": 3}


def test_an_export_that_was_stopped_has_whole_files_and_is_done_again(tmp_path: Path) -> None:
    write_parts(ROWS, LocalStore(tmp_path), 5)  # of more files than the next one

    def stopped() -> Iterator[dict[str, Any]]:
        yield from ROWS[:17]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_parts(stopped(), LocalStore(tmp_path), 10)

    assert names(tmp_path) == ["savs-00000.parquet"]
    assert parquet.read_table(tmp_path / "savs-00000.parquet").num_rows == 10
    assert write_parts(ROWS, LocalStore(tmp_path), 10) == (25, 3)
    assert dataset.dataset(tmp_path, format="parquet").count_rows() == 25


def test_a_folder_with_anything_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "savs-00000.parquet").write_bytes(b"x")
    (tmp_path / "mine.parquet").write_bytes(b"x")

    with pytest.raises(SettingsError, match=r"also holds 'mine.parquet'; name a new folder"):
        write_parts(ROWS, LocalStore(tmp_path))

    assert names(tmp_path) == ["mine.parquet", "savs-00000.parquet"]


def test_no_rows_are_an_empty_table(tmp_path: Path) -> None:
    assert write_parts([], LocalStore(tmp_path)) == (0, 1)
    assert dataset.dataset(tmp_path, format="parquet").to_table().num_rows == 0


@pytest.mark.parametrize("made", [True, False])
def test_a_place_that_ends_in_a_slash_or_is_a_folder_is_written_in_parts(tmp_path: Path, made: bool) -> None:
    target = f"parquet:{tmp_path / 'out'}" + ("" if made else "/")
    if made:
        (tmp_path / "out").mkdir()

    assert export(lambda: iter(ROWS), target, 0.0) == f"{tmp_path / 'out'}: 25 rows in 1 file"
    assert names(tmp_path / "out") == ["_SUCCESS", "savs-00000.parquet"]


def test_a_bucket_is_written_in_parts(bucket: str, s3_server: str) -> None:
    export(lambda: iter(ROWS), f"parquet:s3://{bucket}/out/labels/", 0.0)

    assert list(S3Store(bucket, "out/labels").files("")) == ["_SUCCESS", "savs-00000.parquet"]

"""What Hugging Face's `save_to_disk` wrote: several data files, several splits, and damage."""

import json
from pathlib import Path

import pyarrow
import pytest

from savs.errors import DatasetError, NotFound, SettingsError
from tests.savs.data.readers.reading import read
from tests.savs.data.readers.test_columnar import as_stream


def state(folder: Path, *names: object) -> Path:
    (folder / "state.json").write_text(json.dumps({"_data_files": [{"filename": name} for name in names]}))
    return folder


def test_data_files_are_read_in_the_order_of_the_state(tmp_path: Path) -> None:
    for name in "ab":
        as_stream(pyarrow.table({"image": [f"{name}.jpg"]}), tmp_path / f"data-{name}.arrow")

    rows = read(state(tmp_path, "data-b.arrow", "data-a.arrow"))

    assert [Path(row["image"][0]).name for row in rows] == ["b.jpg", "a.jpg"]


def test_splits_are_named(tmp_path: Path) -> None:
    (tmp_path / "dataset_dict.json").write_text('{"splits": ["train", "test"]}')

    with pytest.raises(SettingsError, match=f"has the splits train, test; .* {tmp_path}/train"):
        read(tmp_path)


@pytest.mark.parametrize("names", [[], ["../x.arrow"], [".."], [5], [""]])
def test_data_files_that_cannot_be_some_are_refused(tmp_path: Path, names: list[object]) -> None:
    with pytest.raises(DatasetError, match=r"state\.json names no data files"):
        read(state(tmp_path, *names))


@pytest.mark.parametrize("content", ["[", "[]", '"x"', "[" * 10_000])
def test_a_state_that_is_none_is_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / "state.json").write_text(content)

    with pytest.raises(DatasetError, match=r"state\.json is no JSON"):
        read(tmp_path)


def test_a_data_file_that_is_gone_is_named(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match=r"gone\.arrow"):
        read(state(tmp_path, "gone.arrow"))

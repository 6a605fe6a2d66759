"""Folders of media: what is in them is a row, or is said to be left out."""

import os
from pathlib import Path

import pytest

from savs.data.readers.folder import FolderReader
from savs.data.readers.reader import Given
from savs.errors import DatasetError
from savs.storage import open_parent, open_store, s3_client
from tests.savs.data.readers.reading import read, reader_of


def filled(folder: Path, *names: str, data: bytes = b"x") -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    return folder


def test_names_may_be_anything(tmp_path: Path) -> None:
    names = ["a\nb.jpg", "h#1.jpg", "p%20+ .jpg", "q\"'.JPEG", "x" * 251 + ".jpg", "ü.mp4"]
    filled(tmp_path, *names)

    rows = read(tmp_path)

    assert [row["id"] for row in rows] == names
    assert [row["image"] for row in rows] == [f"{tmp_path}/{name}" for name in names]


def test_a_name_that_is_not_utf_8_costs_its_row(tmp_path: Path) -> None:
    (Path(os.fsdecode(os.fsencode(tmp_path) + b"/n\xff.jpg"))).write_bytes(b"x")

    [row] = read(tmp_path)

    assert row["$unusable"] == f"{tmp_path}/n\\udcff.jpg: its name is not UTF-8; rename it"


def test_an_empty_file_costs_its_row(tmp_path: Path) -> None:
    [row] = read(filled(tmp_path, "a.jpg", data=b""))

    assert row["$unusable"].endswith("a.jpg: the file is empty")


def test_classes_are_the_first_folders_and_everything_else_is_told(tmp_path: Path) -> None:
    filled(
        tmp_path, "cat/in/a.jpg", "my class/v.mp4", "nothing/x.txt", "top.jpg", ".git/a.jpg", "__MACOSX/a.jpg"
    )
    (tmp_path / "linked").symlink_to("cat")
    reader = reader_of(tmp_path, labelled=True)

    assert [(row["id"], row["label"]) for row in reader.rows()] == [
        ("cat/in/a.jpg", "cat"),
        ("my class/v.mp4", "my class"),
    ]
    assert reader.found() == (
        "2 classes from its subfolders; left out: 2 hidden ('.git/a.jpg', '__MACOSX/a.jpg'), "
        "1 no image or video ('nothing/x.txt'), 1 outside of the class folders ('top.jpg'), "
        "2 without images or videos ('linked', 'nothing')"
    )


def test_a_folder_without_classes_has_no_examples(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="no subfolders with images"):
        read(filled(tmp_path, "a.jpg"), labelled=True)


def test_other_files_make_another_dataset(tmp_path: Path) -> None:
    def identity() -> str | None:
        reader = reader_of(tmp_path)
        assert reader.identity() is None
        [*reader.rows()]
        return reader.identity()

    filled(tmp_path, "a.jpg", "b.jpg")
    first = identity()
    assert identity() == first
    filled(tmp_path, "b.jpg", data=b"other")
    assert identity() != first


def test_keys_of_a_bucket_are_taken_as_they_are(bucket: str, s3_server: str) -> None:
    keys = ["/b.jpg", "a//b.jpg", "c?.jpg", "sp ace.jpg", "ü%41+.jpg"]
    for key in ["dir/", *keys]:
        s3_client(s3_server).put_object(Bucket=bucket, Key=f"in/{key}", Body=b"" if key == "dir/" else b"x")
    address = f"s3://{bucket}/in"

    rows = [*FolderReader(open_store(address), address, Given()).rows()]

    assert [row["id"] for row in rows] == keys
    for row in rows:
        store, key = open_parent(row["image"])
        assert store.read(key) == b"x"

"""All files below a folder, in order, whatever their number and names."""

import os
import subprocess
from pathlib import Path

import pytest

from savs.errors import StorageError
from savs.storage import walk
from savs.storage.walk import walk_folder

NAMES = ["b.jpg", "a/c.jpg", "a/b/c.jpg", "a-b/x", "a.b", "ä/ö", "Z", "a\nb", "a/é", "~", "a b/c", "𝄞"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in NAMES:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(name.encode())
    return tmp_path


@pytest.mark.parametrize("at_once", [1, 2, 3, 1000])
def test_files_are_in_the_order_of_their_paths_however_many_are_sorted_at_once(
    folder: Path, monkeypatch: pytest.MonkeyPatch, at_once: int
) -> None:
    monkeypatch.setattr(walk, "SORTED_AT_ONCE", at_once)
    wanted = sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())

    found = [*walk_folder(folder, "")]

    assert [file.key for file in found] == wanted == sorted(NAMES)
    assert [file.size for file in found] == [len(name.encode()) for name in wanted]


def test_a_prefix_gives_the_files_below_it(folder: Path) -> None:
    assert [file.key for file in walk_folder(folder, "a/")] == ["a/b/c.jpg", "a/c.jpg", "a/é"]


def test_links_to_folders_are_not_followed_and_links_to_files_are(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "file").write_bytes(b"x")
    for name, target in (("loop", "."), ("self", "self"), ("dead", "nowhere"), ("link", "../file")):
        (tmp_path / "in" / name).symlink_to(target)
    os.mkfifo(tmp_path / "in" / "pipe")

    assert [file.key for file in walk_folder(tmp_path / "in", "")] == ["link"]


def test_folders_may_be_nested_by_the_thousand(tmp_path: Path) -> None:
    here = os.open(tmp_path, os.O_RDONLY)
    for _ in range(1500):  # by steps, since such a path is hard to make at once
        os.mkdir("a", dir_fd=here)
        inner = os.open("a", os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = inner
    os.close(os.open("x", os.O_CREAT, dir_fd=here))
    os.close(here)

    assert [file.key for file in walk_folder(tmp_path, "")] == ["a/" * 1500 + "x"]
    subprocess.run(["rm", "-r", tmp_path / "a"], check=True)  # pytest would fail to


def test_what_vanishes_while_it_is_listed_is_left_out(folder: Path) -> None:
    files = walk_folder(folder, "")
    found = [next(files).key]
    for name in ("a.b", "a/b/c.jpg"):
        (folder / name).unlink()
    (folder / "a" / "b").rmdir()

    found += [file.key for file in files]

    assert found == [name for name in sorted(NAMES) if name not in ("a.b", "a/b/c.jpg")]


def test_a_folder_that_does_not_exist_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="does not exist"):
        [*walk_folder(tmp_path / "nowhere", "")]

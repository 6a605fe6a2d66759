"""Links in a folder that others may write in: none leads out of it, also if it is made at the last moment."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from savs.errors import NotFound, OutsideLink, StorageError
from savs.storage import Store, open_parent, open_store
from savs.storage.links import check_opened


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    (tmp_path / "secret").mkdir()
    (tmp_path / "secret" / "key.json").write_bytes(b"secret")
    return tmp_path / "secret"


@pytest.fixture
def store(tmp_path: Path) -> Store:
    store = open_store(tmp_path / "space")
    store.write("jobs/a.json", b"a")
    return store


def test_a_file_that_is_a_link_out_of_the_store_is_not_read(store: Store, secret: Path) -> None:
    Path(store.url, "jobs", "b.json").symlink_to(secret / "key.json")

    for read in (store.read, store.open, lambda key: store.read_range(key, 0, 9)):
        with pytest.raises(OutsideLink, match=r"jobs/b\.json is reached by a link that leads out of .*space"):
            read("jobs/b.json")


@pytest.mark.parametrize("target", ["secret", "space-too"])
def test_a_folder_that_is_a_link_out_of_the_store_is_not_used(
    store: Store, secret: Path, tmp_path: Path, target: str
) -> None:
    if target != secret.name:
        secret.rename(tmp_path / target)
    outside = tmp_path / target
    Path(store.url, "linked").symlink_to(outside)

    calls: list[Callable[[], object]] = [
        lambda: store.read("linked/key.json"),
        lambda: store.write("linked/key.json", b"mine"),
        lambda: store.create("linked/new.json", b"mine"),
        lambda: store.delete("linked/key.json"),
        lambda: list(store.list("linked")),
        lambda: list(store.files("linked")),
        lambda: list(store.folders("linked")),
    ]
    for call in calls:
        with pytest.raises(OutsideLink):
            call()
    assert [(p.name, p.read_bytes()) for p in outside.iterdir()] == [("key.json", b"secret")]


def test_a_link_that_stays_in_the_store_is_followed(store: Store) -> None:
    Path(store.url, "b.json").symlink_to(Path(store.url, "jobs", "a.json"))
    Path(store.url, "same").symlink_to("jobs")

    assert store.read("b.json") == store.read("same/a.json") == b"a"
    store.write("same/c.json", b"c")
    assert list(store.list("jobs")) == ["jobs/a.json", "jobs/c.json"]


def test_a_store_that_is_itself_reached_by_a_link_works(store: Store, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(store.url)
    linked = open_store(tmp_path / "link")

    linked.write("jobs/b.json", b"b")

    assert linked.read("jobs/a.json") == b"a"
    assert list(linked.list("")) == ["jobs/a.json", "jobs/b.json"]


def test_a_manifest_of_a_users_own_may_be_a_link_anywhere(store: Store, secret: Path) -> None:
    Path(store.url, "rows.jsonl").symlink_to(secret / "key.json")
    found, key = open_parent(Path(store.url, "rows.jsonl"))
    confined, _ = open_parent(Path(store.url, "rows.jsonl"), inside=[store.url])

    assert found.read(key) == b"secret"
    with pytest.raises(OutsideLink):
        confined.read(key)


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="only Linux knows the path of an open file")
def test_what_counts_is_the_place_of_the_open_file_and_not_what_its_path_is_now(
    store: Store, secret: Path
) -> None:
    # given a link that was there when the file was opened, and is exchanged for an innocent file at once
    path = Path(store.url, "jobs", "b.json")
    path.symlink_to(secret / "key.json")
    descriptor = os.open(path, os.O_RDONLY)
    path.unlink()
    path.write_bytes(b"innocent")

    with pytest.raises(OutsideLink):
        check_opened(descriptor, path, [store.url])
    os.close(descriptor)


def test_an_open_file_that_is_replaced_meanwhile_is_still_in_the_store(store: Store) -> None:
    path = Path(store.url, "jobs", "a.json")
    with path.open("rb") as stream:
        store.write("jobs/a.json", b"new")
        check_opened(stream.fileno(), path, [store.url])


def test_a_pipe_in_place_of_an_object_is_not_waited_for(store: Store) -> None:
    os.mkfifo(Path(store.url, "pipe.json"))

    with pytest.raises(StorageError, match="is a named pipe, not a file"):
        store.read("pipe.json")
    assert not store.exists("pipe.json")


def test_what_cannot_be_looked_at_is_an_error_and_what_cannot_be_there_is_not_there(store: Store) -> None:
    Path(store.url, "loop").symlink_to("loop")

    for call in (store.exists, store.read, store.size, store.etag):
        with pytest.raises(StorageError, match="loop") as raised:
            call("loop/a.json")
        assert not isinstance(raised.value, NotFound)
    assert not store.exists("x" * 5000) and not store.exists("jobs/a.json/x")
    assert list(store.list("x" * 5000)) == []


@pytest.mark.skipif(os.getuid() != 0, reason="only root can become another user")
def test_a_folder_of_mode_700_is_a_storage_error_for_others(store: Store, tmp_path: Path) -> None:
    for folder in (*tmp_path.parents, tmp_path, Path(store.url)):
        if not folder.stat().st_mode & 0o005:
            folder.chmod(folder.stat().st_mode | 0o055)  # pytest's own folders are its user's
    Path(store.url, "jobs").chmod(0o700)
    code = f"""
import os
from savs.errors import StorageError
from savs.storage import open_store
os.setgid(65534); os.setuid(65534)
store = open_store({store.url!r})
for call in (lambda: store.read("jobs/a.json"), lambda: store.exists("jobs/a.json"),
             lambda: list(store.list("jobs")), lambda: list(store.list("")),
             lambda: list(store.folders("jobs")), lambda: list(store.files("jobs")),
             lambda: store.size("jobs/a.json")):
    try:
        call()
    except StorageError as error:
        assert "Permission denied" in str(error), error
    else:
        raise AssertionError("no error")
print("all refused")
"""
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert said.stdout == "all refused\n", said.stderr

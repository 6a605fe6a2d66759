"""Folders and buckets keep the same promises."""

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier, Thread

import pytest

from savs.errors import Changed, NotFound, StorageError
from savs.storage import LocalStore, S3Store, Store, join, open_parent, open_store, s3_client

WRITERS = 16  # threads that race for one key


@pytest.fixture(params=["disk", "s3"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    if request.param == "disk":
        return open_store(tmp_path / "work" / "space")
    return open_store(f"s3://{request.getfixturevalue('bucket')}/work/space")


def test_what_is_written_can_be_read(store: Store) -> None:
    store.write("a/b.json", b"some bytes")
    assert store.read("a/b.json") == b"some bytes"
    with store.open("a/b.json") as stream:
        assert stream.read(4) == b"some"
        assert stream.read() == b" bytes"


def test_writing_replaces_what_was_there(store: Store) -> None:
    store.write("a", b"old, and longer")
    store.write("a", b"new")
    assert store.read("a") == b"new"


@pytest.mark.parametrize("sizes", [[], [0], [3, 0, 5], [2**20] * 20, [1] * 1000, [20 * 2**20, 1]])
def test_blocks_are_written_as_one_object(store: Store, sizes: list[int]) -> None:
    blocks = [bytes([n % 251]) * size for n, size in enumerate(sizes)]

    store.write_blocks("a/b", iter(blocks))

    assert store.read("a/b") == b"".join(blocks)


@pytest.mark.parametrize("error", [KeyError, KeyboardInterrupt, StorageError])
def test_blocks_that_break_off_leave_what_was_there(store: Store, error: type[BaseException]) -> None:
    def broken() -> Iterator[bytes]:
        yield b"x" * 10 * 2**20
        raise error("no more")

    store.write("a", b"before")

    with pytest.raises(error):
        store.write_blocks("a", broken())

    assert store.read("a") == b"before" and list(store.list("")) == ["a"]


def test_an_error_among_blocks_keeps_its_cause(store: Store) -> None:
    cause = OSError("the disk")

    def broken() -> Iterator[bytes]:
        yield b"x"
        raise StorageError("no more") from cause

    with pytest.raises(StorageError) as found:
        store.write_blocks("a", broken())

    assert found.value.__cause__ is cause


def test_an_object_may_be_empty(store: Store) -> None:
    store.write("empty", b"")
    assert store.read("empty") == b""
    assert store.exists("empty")


def test_a_range_is_read_from_its_offset(store: Store) -> None:
    store.write("a", b"0123456789")
    assert store.read_range("a", 3, 4) == b"3456"
    assert store.read_range("a", 0, 10) == b"0123456789"
    assert store.read_range("a", 9, 1) == b"9"
    assert store.read_range("a", 5, 0) == b""
    assert store.read_range("a", 8, 100) == b"89"


def test_a_range_is_read_where_the_object_is_what_it_was(store: Store) -> None:
    store.write("a", b"0123456789")
    assert store.read_range("a", 3, 4, etag=store.etag("a")) == b"3456"


def test_a_range_of_an_object_that_has_changed_is_refused(store: Store) -> None:
    # given an object that is replaced by another
    store.write("a", b"0123456789")
    etag = store.etag("a")
    store.write("a", b"abcdefghijk")
    # then nobody reads lines of a file that was never planned
    with pytest.raises(Changed, match="has changed"):
        store.read_range("a", 3, 4, etag=etag)


def test_an_etag_says_whether_the_bytes_are_the_same(store: Store) -> None:
    store.write("a", b"one")
    first = store.etag("a")
    assert store.etag("a") == first
    store.write("a", b"other")
    second = store.etag("a")
    assert second != first
    store.write("a", b"one")
    assert store.etag("a") == first


def test_an_object_that_is_not_there_is_not_found(store: Store) -> None:
    calls: list[Callable[[], object]] = [
        lambda: store.read("no/such"),
        lambda: store.open("no/such"),
        lambda: store.read_range("no/such", 0, 1),
        lambda: store.read_range("no/such", 0, 1, etag="x"),
        lambda: store.etag("no/such"),
    ]
    for call in calls:
        with pytest.raises(NotFound, match="no/such does not exist"):
            call()
    assert not store.exists("no/such")


def test_a_deleted_object_is_gone_and_deleting_twice_is_no_error(store: Store) -> None:
    store.write("a", b"x")
    store.delete("a")
    assert not store.exists("a")
    store.delete("a")


def test_keys_are_listed_below_a_folder_and_sorted(store: Store) -> None:
    for key in ("parts/2", "parts/10", "parts/deep/1", "partsandmore/1", "other"):
        store.write(key, b"x")
    assert list(store.list("parts")) == ["parts/10", "parts/2", "parts/deep/1"]
    assert list(store.list("")) == ["other", "parts/10", "parts/2", "parts/deep/1", "partsandmore/1"]
    assert list(store.list("nothing")) == []


def test_files_are_those_right_below_a_folder(store: Store) -> None:
    for key in ("b.json", "a.json", "f/c.json", "f/d.json", "f/g/e.json", "fg/h.json"):
        store.write(key, b"")
    assert list(store.files("")) == ["a.json", "b.json"]
    assert list(store.files("f")) == ["c.json", "d.json"]
    assert list(store.files("nowhere")) == []
    assert list(store.folders("f")) == ["g"]


def test_a_store_that_nobody_wrote_to_is_empty(store: Store) -> None:
    assert list(store.list("")) == []


def test_an_object_is_listed_whatever_its_suffix(store: Store) -> None:
    store.write("video.tmp", b"x")
    assert list(store.list("")) == ["video.tmp"]


def test_writing_leaves_nothing_else_behind(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    store.write("a", b"1")
    store.write("a", b"2")
    store.create("b", b"1")
    store.create("b", b"2")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b"]


def test_only_the_first_creates_an_object(store: Store) -> None:
    assert store.create("a/commit", b"first") is True
    assert store.create("a/commit", b"second") is False
    assert store.read("a/commit") == b"first"


def test_of_many_that_create_an_object_at_once_one_wins(store: Store) -> None:
    # given sixteen threads, each with a result of its own
    for key in ("commits/0", "commits/1", "commits/2"):
        barrier = Barrier(WRITERS)

        def create(number: int, key: str = key, barrier: Barrier = barrier) -> bool:
            barrier.wait()
            return store.create(key, f"writer {number}".encode() * 1000)

        # if all create the same object
        with ThreadPoolExecutor(WRITERS) as threads:
            won = list(threads.map(create, range(WRITERS)))
        # then one did, and it is that one's
        assert won.count(True) == 1
        assert store.read(key) == f"writer {won.index(True)}".encode() * 1000


def test_a_reader_never_sees_half_an_object(store: Store) -> None:
    # given a writer that goes to and fro between two objects of different length
    versions = (b"a" * 200_000, b"b" * 300_000)
    store.write("a", versions[0])

    def write() -> None:
        for number in range(40):
            store.write("a", versions[number % 2])

    writer = Thread(target=write)
    writer.start()
    # if it is read meanwhile
    seen = {store.read("a") for _ in range(40)}
    writer.join()
    # then each time it is one of the two
    assert seen <= set(versions)


@pytest.mark.parametrize("key", ["", "/etc/passwd", "../a", "a/../../b", "a/..", "..", "a\0b"])
def test_keys_that_lead_out_of_the_store_are_refused(store: Store, key: str) -> None:
    calls: list[Callable[[], object]] = [
        lambda: store.read(key),
        lambda: store.open(key),
        lambda: store.read_range(key, 0, 1),
        lambda: store.write(key, b"x"),
        lambda: store.create(key, b"x"),
        lambda: store.exists(key),
        lambda: store.delete(key),
        lambda: store.etag(key),
    ]
    for call in calls:
        with pytest.raises(StorageError, match="not a key inside a store"):
            call()


def test_a_file_is_no_folder_and_a_folder_no_file(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    store.write("a/b", b"x")
    refused: list[Callable[[], object]] = [
        lambda: store.read("a"),
        lambda: store.read("a/b/c"),
        lambda: store.etag("a"),
        lambda: store.etag("a/b/c"),
        lambda: store.write("a", b"x"),
        lambda: store.write("a/b/c", b"x"),
        lambda: store.create("a/b/c", b"x"),
        lambda: store.delete("a"),
    ]
    for call in refused:
        with pytest.raises(StorageError):
            call()
    store.delete("a/b/c")
    assert store.read("a/b") == b"x"
    assert not store.exists("a")
    assert not store.exists("a/b/c")


def test_an_address_says_which_kind_of_store_it_is(bucket: str, tmp_path: Path) -> None:
    assert isinstance(open_store(tmp_path), LocalStore)
    on_s3 = open_store(f"s3://{bucket}/some/prefix/")
    assert isinstance(on_s3, S3Store)
    assert on_s3.url == f"s3://{bucket}/some/prefix"


def test_a_whole_bucket_can_be_a_store(bucket: str) -> None:
    store = open_store(f"s3://{bucket}")
    store.write("a/b", b"x")
    assert store.url == f"s3://{bucket}"
    assert list(store.list("")) == ["a/b"]
    assert open_parent(f"s3://{bucket}/a")[0].url == f"s3://{bucket}"


@pytest.mark.parametrize("url", ["s3://", "s3:///key", "gs://bucket/a", "https://example.org/a"])
def test_an_address_of_another_kind_is_refused(url: str) -> None:
    with pytest.raises(StorageError, match=r"s3://"):
        open_store(url)


def test_an_object_is_found_through_its_parent(store: Store) -> None:
    store.write("a/b.json", b"x")
    parent, key = open_parent(join(store.url, "a", "b.json"))
    assert key.endswith("b.json")
    assert parent.read(key) == b"x"


@pytest.mark.parametrize("key", ["a//x.png", "/x.png", "a///b/x.png", "a b/%41.png"])
def test_a_key_in_a_bucket_is_used_as_it_is(bucket: str, key: str) -> None:
    # given another object under the key that an editor of paths would make of it
    s3_client(os.environ["SAVS_S3_ENDPOINT_URL"]).put_object(Bucket=bucket, Key="x.png", Body=b"other")
    s3_client(os.environ["SAVS_S3_ENDPOINT_URL"]).put_object(Bucket=bucket, Key=key, Body=b"own")

    store, found = open_parent(f"s3://{bucket}/{key}")

    assert (found, store.read(found), store.exists(found)) == (key, b"own", True)


@pytest.mark.parametrize("key", ["a/../b", "./a", "a/."])
def test_a_key_that_http_clients_rewrite_is_refused(bucket: str, key: str) -> None:
    store, found = open_parent(f"s3://{bucket}/{key}")

    with pytest.raises(StorageError, match="not a key"):
        store.read(found)


def test_a_bucket_that_does_not_exist_is_named(bucket: str) -> None:
    store, key = open_parent("s3://absent/a/b.json")

    for read in (store.read, store.etag, store.size):
        with pytest.raises(NotFound, match="there is no bucket 'absent'"):
            read(key)
    with pytest.raises(NotFound, match="there is no bucket 'absent'"):
        list(open_store("s3://absent/work").folders("jobs"))


@pytest.mark.parametrize("scheme", ["file://", "file://localhost", "FILE://"])
def test_a_file_address_is_the_path_in_it(tmp_path: Path, scheme: str) -> None:
    (tmp_path / "a b.json").write_bytes(b"x")

    store, key = open_parent(f"{scheme}{tmp_path}/a%20b.json")

    assert store.read(key) == b"x"


def test_a_file_address_of_another_machine_is_refused() -> None:
    with pytest.raises(StorageError, match="only local folders"):
        open_store("file://elsewhere/a")


def many(keys: int) -> Iterator[str]:
    return (f"parts/{number:07d}" for number in range(keys))


def test_a_listing_of_more_than_a_page_is_whole(bucket: str) -> None:
    from savs.storage import s3_client

    # given more objects than S3 lists in one answer
    store = open_store(f"s3://{bucket}/many")
    assert isinstance(store, S3Store)
    for key in many(25):
        store.write(key, b"")
    # if pages are small
    client = s3_client(store.client.meta.endpoint_url)
    pages = client.get_paginator("list_objects_v2").paginate(
        Bucket=bucket, Prefix="many/", PaginationConfig={"PageSize": 10}
    )
    assert len(list(pages)) == 3
    # then all are listed
    assert list(store.list("parts")) == list(many(25))


def test_writes_have_no_checksums_of_boto3s_own_which_other_stores_refuse(bucket: str) -> None:
    sent = []
    store = S3Store(bucket, "x")
    store.client.meta.events.register(
        "before-send.s3.PutObject", lambda request, **_: sent.append(str(request.headers).lower())
    )

    store.write("a", b"words")

    [headers] = sent
    assert "host" in headers or "content-length" in headers
    assert "checksum" not in headers and "trailer" not in headers and "aws-chunked" not in headers


def test_an_empty_endpoint_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    # Compose passes a variable on that way if it is not set.
    monkeypatch.setenv("SAVS_S3_ENDPOINT_URL", "")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-central-1")

    store = S3Store("corpus", "")

    assert store.client.meta.endpoint_url == "https://s3.eu-central-1.amazonaws.com"

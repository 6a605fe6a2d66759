"""An object of a bucket as a file."""

import io
from random import Random

import pytest

from savs.errors import Changed, NotFound
from savs.storage import Store, open_store
from savs.storage.ranged import RangedFile

DATA = Random(0).randbytes(10_000)


@pytest.fixture
def store(bucket: str) -> Store:
    store = open_store(f"s3://{bucket}/x")
    store.write("a", DATA)
    return store


def test_it_reads_what_the_same_bytes_in_memory_do(store: Store) -> None:
    ranged, memory, random = RangedFile(store, "a"), io.BytesIO(DATA), Random(1)
    for _ in range(30):
        place, whence = random.choice(
            [
                (random.randrange(12_000), io.SEEK_SET),
                (-random.randrange(9000), io.SEEK_END),
                (7, io.SEEK_CUR),
            ]
        )
        count = random.choice([0, 1, 100, 20_000, -1])
        assert ranged.seek(place, whence) == memory.seek(place, whence)
        assert ranged.read(count) == memory.read(count)
        assert ranged.tell() == memory.tell()


def test_ranges_of_another_object_are_refused(store: Store) -> None:
    ranged = RangedFile(store, "a", store.etag("a"))
    assert ranged.read(10) == DATA[:10]
    store.write("a", DATA[::-1])

    with pytest.raises(Changed):
        ranged.read(10)


def test_an_object_that_does_not_exist_is_not_found(store: Store) -> None:
    with pytest.raises(NotFound):
        RangedFile(store, "b")

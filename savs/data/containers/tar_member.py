"""Opens a member of a tar, where an index says that it is."""

import io
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import IO, Any

from savs.data.confined import inside_of
from savs.data.containers.contained import ContainedPath, Member
from savs.data.containers.tar_headers import BLOCK_BYTES, FILE, Entry, Read, TarDamage, read_entry
from savs.errors import (
    Changed,
    ForbiddenMedia,
    MissingMedia,
    NotFound,
    OutsideLink,
    StorageError,
    UnreadableMedia,
)
from savs.storage import LocalStore, Store, open_parent

AT_ONCE_BYTES = 64 * 2**20
PART_BYTES = 8 * 2**20  # of a larger member
EXTENDED_BYTES = 4 * BLOCK_BYTES  # read with every member, enough for most extended headers


@contextmanager
def open_member(address: ContainedPath) -> Iterator[IO[bytes]]:
    """Yield the bytes of a member as a stream. Up to 64 MiB are read at once, by one request.

    Raises MissingMedia if the tar does not exist or is another than when it was indexed, ForbiddenMedia if a
    link leads out of the folders that may be read, and UnreadableMedia.
    """
    container = address.container
    with ExitStack() as held:
        with _errors_of(address):
            store, key = open_parent(container, inside_of(container), pipes=False)
            stream = _opened(store, key, address, held)
        yield stream


@contextmanager
def _errors_of(address: ContainedPath) -> Iterator[None]:
    """Turn the errors of stores and tars into those of items."""
    container = address.container
    try:
        yield
    except OutsideLink as error:
        raise ForbiddenMedia(str(error)) from error
    except NotFound as error:
        raise MissingMedia(f"{container} does not exist") from error
    except (Changed, TarDamage) as error:
        raise MissingMedia(
            f"{address}: {container} has changed since it was indexed; submit it again"
        ) from error
    except StorageError as error:
        raise UnreadableMedia(str(error)) from error
    except OSError as error:
        raise UnreadableMedia(f"{address} cannot be read: {error.strerror or error}") from error


def _opened(store: Store, key: str, address: ContainedPath, held: ExitStack) -> IO[bytes]:
    place = address.place
    assert isinstance(place, Member)
    if place.size <= AT_ONCE_BYTES:
        wanted = EXTENDED_BYTES + BLOCK_BYTES + place.size
        data = store.read_range(key, place.header, wanted)

        def within(offset: int, length: int) -> bytes:
            begin = offset - place.header
            if begin + length <= len(data):
                return data[begin : begin + length]
            return store.read_range(key, offset, length) if len(data) == wanted else data[begin:]

        entry = _checked(read_entry(within, place.header), address)
        member = within(entry.data, entry.size)
        if len(member) < entry.size:
            raise Changed(address)
        return io.BytesIO(member)
    if isinstance(store, LocalStore):
        descriptor = held.enter_context(store.open(key)).fileno()
        size = os.fstat(descriptor).st_size

        def read(offset: int, length: int) -> bytes:
            return os.pread(descriptor, length, offset) if offset < size else b""
    else:
        etag = store.etag(key)  # the parts must be those of one object

        def read(offset: int, length: int) -> bytes:
            return store.read_range(key, offset, length, etag)

    entry = _checked(read_entry(read, place.header), address)
    return io.BufferedReader(_Parts(read, entry, address), PART_BYTES)


def _checked(entry: Entry | None, address: ContainedPath) -> Entry:
    """Return the entry if it is the member that was indexed. Raises Changed."""
    name = address[len(address.container) + 1 :]
    place = address.place
    assert isinstance(place, Member)
    indexed = (FILE, place.size, name.encode("utf-8", "surrogatepass"))
    if entry is None or (entry.kind, entry.size, entry.name) != indexed:
        raise Changed(address)
    return entry


class _Parts(io.RawIOBase):
    """The bytes of a member, read in parts."""

    def __init__(self, read: Read, entry: Entry, address: ContainedPath) -> None:
        self.read_part, self.address = read, address
        self.offset, self.end = entry.data, entry.data + entry.size

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        with _errors_of(self.address):
            data = self.read_part(self.offset, min(len(buffer), self.end - self.offset))
            if not data and self.offset < self.end:
                raise Changed(self.address)
        buffer[: len(data)] = data
        self.offset += len(data)
        return len(data)

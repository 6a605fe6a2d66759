"""The interface of all stores."""

from collections.abc import Iterable, Iterator
from typing import IO, NamedTuple, Protocol

from savs.errors import StorageError


class Listed(NamedTuple):
    """An object of a store: its key, its size in bytes, and what changes when its bytes do: an ETag, or in a
    folder the time of its last change."""

    key: str
    size: int
    etag: str


class Store(Protocol):
    """A tree of objects. Keys are relative, separated by `/`."""

    url: str

    def read(self, key: str) -> bytes:
        """The whole object. Raises NotFound."""

    def read_range(self, key: str, offset: int, length: int, etag: str | None = None) -> bytes:
        """`length` bytes from `offset`. Raises NotFound, and Changed if `etag` is not the object's."""

    def open(self, key: str) -> IO[bytes]:
        """A stream over the object, to be closed by the caller. Raises NotFound."""

    def write(self, key: str, data: bytes) -> None:
        """Create or replace the object."""

    def write_blocks(self, key: str, blocks: Iterable[bytes]) -> None:
        """Like `write`, for an object larger than memory. If `blocks` raises, nothing is written."""

    def create(self, key: str, data: bytes) -> bool:
        """Create the object; return False and write nothing if it exists already."""

    def list(self, prefix: str) -> Iterator[str]:
        """Keys below the folder `prefix`, sorted."""

    def walk(self, prefix: str) -> Iterator[Listed]:
        """All objects whose keys begin with `prefix`, which is empty or ends in "/"; sorted, in memory that
        does not depend on their number."""

    def folders(self, prefix: str) -> Iterator[str]:
        """Names of the folders directly below the folder `prefix`, sorted, without listing their contents."""

    def files(self, prefix: str) -> Iterator[str]:
        """Names of the objects directly below the folder `prefix`, sorted; an empty prefix is the store's
        top."""

    def honours_conditions(self) -> bool:
        """Return whether `create` refuses to replace an object; tested with one that is deleted again."""

    def exists(self, key: str) -> bool: ...

    def delete(self, key: str) -> None:
        """Delete the object if it exists."""

    def prune(self, prefix: str) -> None:
        """Remove the folder `prefix` and those below it that hold no object."""

    def etag(self, key: str) -> str:
        """A string that changes when the object's bytes do. Raises NotFound."""

    def size(self, key: str) -> int:
        """Bytes of the object. Raises NotFound."""


def checked_key(key: str) -> str:
    """Return `key` if it stays inside its store; raise StorageError otherwise."""
    if not key or key.startswith("/") or "\0" in key or ".." in key.split("/"):
        raise StorageError(f"{key!r} is not a key inside a store")
    return key

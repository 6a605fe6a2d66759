"""What every store can do."""

from collections.abc import Iterator
from typing import IO, Protocol

from savs.errors import StorageError


class Store(Protocol):
    """A tree of objects. Keys are relative, separated by `/`."""

    url: str

    def read(self, key: str) -> bytes:
        """The whole object. Raises NotFound."""

    def read_range(self, key: str, offset: int, length: int, etag: str | None = None) -> bytes:
        """`length` bytes from `offset`. Raises NotFound, and Changed where `etag` is not the object's."""

    def open(self, key: str) -> IO[bytes]:
        """A stream over the object, to be closed by the caller. Raises NotFound."""

    def write(self, key: str, data: bytes) -> None:
        """Creates or replaces the object."""

    def create(self, key: str, data: bytes) -> bool:
        """Creates the object; False, and nothing written, where there is one already."""

    def list(self, prefix: str) -> Iterator[str]:
        """Keys below the folder `prefix`, sorted."""

    def folders(self, prefix: str) -> Iterator[str]:
        """Names of the folders right below the folder `prefix`, sorted, without looking into them."""

    def files(self, prefix: str) -> Iterator[str]:
        """Names of the objects right below the folder `prefix`, sorted; all of the store's top where it
        is empty."""

    def honours_conditions(self) -> bool:
        """Whether `create` keeps its promise. Tried out once, with an object that is removed again."""

    def exists(self, key: str) -> bool: ...

    def delete(self, key: str) -> None:
        """Removes the object if it is there."""

    def etag(self, key: str) -> str:
        """A word that changes when the object's bytes do. Raises NotFound."""

    def size(self, key: str) -> int:
        """Bytes of the object. Raises NotFound."""


def checked_key(key: str) -> str:
    """`key`, if it stays inside its store."""
    if not key or key.startswith("/") or "\0" in key or ".." in key.split("/"):
        raise StorageError(f"{key!r} is not a key inside a store")
    return key

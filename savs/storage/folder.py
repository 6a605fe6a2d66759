"""A local folder as a store: atomic renames, hard links for `create`, everything synced to disk."""

import functools
import hashlib
import os
import re
import uuid
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import IO

from savs.errors import Changed, NotFound, StorageError
from savs.storage.regular import open_regular
from savs.storage.store import checked_key

TEMPORARY = re.compile(r"\..*\.[0-9a-f]{32}\.tmp", re.S)  # a file that LocalStore is about to rename


class LocalStore:
    """A folder. Needs a file system with hard links, which every common one has."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.url = str(root)

    def _path(self, key: str) -> Path:
        return self.root / checked_key(key)

    def read(self, key: str) -> bytes:
        with self.open(key) as stream:
            return stream.read()

    def read_range(self, key: str, offset: int, length: int, etag: str | None = None) -> bytes:
        if etag is not None and self.etag(key) != etag:
            raise Changed(f"{self._path(key)} has changed since the job was planned; submit it again")
        with self.open(key) as stream:
            size = os.fstat(stream.fileno()).st_size
            if offset >= size:
                return b""
            stream.seek(offset)
            return stream.read(min(length, size - offset))  # the length is not trusted

    def open(self, key: str) -> IO[bytes]:
        return open_regular(self._path(key))

    def write(self, key: str, data: bytes) -> None:
        self.write_blocks(key, [data])

    def write_blocks(self, key: str, blocks: Iterable[bytes]) -> None:
        path = self._path(key)
        temporary = self._temporary(path, blocks)
        try:
            temporary.replace(path)
        except OSError as error:
            temporary.unlink(missing_ok=True)
            raise StorageError(f"{path} cannot be written: {error.strerror}") from error
        _sync_folder(path.parent)

    def create(self, key: str, data: bytes) -> bool:
        path = self._path(key)
        temporary = self._temporary(path, [data])
        try:
            os.link(temporary, path)
        except FileExistsError:
            return False
        except OSError as error:
            raise StorageError(f"{path} cannot be written: {error.strerror}") from error
        finally:
            temporary.unlink(missing_ok=True)
        _sync_folder(path.parent)
        return True

    def _temporary(self, path: Path, blocks: Iterable[bytes]) -> Path:
        temporary = path.with_name(f".{path.name[:100]}.{uuid.uuid4().hex}.tmp")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with temporary.open("xb") as stream:
                stream.writelines(blocks)
                stream.flush()
                os.fsync(stream.fileno())
        except BaseException as error:
            with suppress(OSError):  # if the folder was not created, there is nothing to remove
                temporary.unlink()
            if isinstance(error, OSError):
                raise StorageError(f"{path} cannot be written: {error.strerror}") from error
            raise
        return temporary

    def list(self, prefix: str) -> Iterator[str]:
        folder = self._path(prefix) if prefix else self.root
        paths = (p for p in folder.rglob("*") if p.is_file() and not TEMPORARY.fullmatch(p.name))
        yield from sorted(p.relative_to(self.root).as_posix() for p in paths)

    def folders(self, prefix: str) -> Iterator[str]:
        folder = self._path(prefix)
        yield from sorted(p.name for p in folder.iterdir() if p.is_dir()) if folder.is_dir() else ()

    def files(self, prefix: str) -> Iterator[str]:
        folder = self._path(prefix) if prefix else self.root
        try:
            names = [p.name for p in folder.iterdir() if p.is_file() and not TEMPORARY.fullmatch(p.name)]
        except FileNotFoundError:
            return
        except OSError as error:
            raise StorageError(f"{folder} cannot be listed: {error.strerror}") from error
        yield from sorted(names)

    def honours_conditions(self) -> bool:
        return True  # a hard link is created or not; without hard links `create` raises

    def exists(self, key: str) -> bool:
        return self._path(key).is_file()

    def delete(self, key: str) -> None:
        path = self._path(key)
        try:
            path.unlink()
        except (FileNotFoundError, NotADirectoryError):
            pass
        except OSError as error:
            raise StorageError(f"{path} cannot be deleted: {error.strerror}") from error

    def prune(self, prefix: str) -> None:
        folder = self._path(prefix)
        # The deepest first; one that is not empty stays, and so do those above it.
        for path in sorted((p for p in folder.rglob("*") if p.is_dir()), reverse=True):
            with suppress(OSError):
                path.rmdir()
        with suppress(OSError):
            folder.rmdir()

    def size(self, key: str) -> int:
        try:
            return self._path(key).stat().st_size
        except OSError as error:
            raise NotFound(f"{self._path(key)} does not exist") from error

    def etag(self, key: str) -> str:
        path = self._path(key)
        try:
            stat = path.stat()
        except OSError as error:
            raise NotFound(f"{path} does not exist") from error
        return _sha256_of_file(str(path.resolve()), stat.st_size, stat.st_mtime_ns)


@functools.lru_cache(maxsize=64)
def _sha256_of_file(path: str, size: int, mtime_ns: int) -> str:
    with open_regular(Path(path)) as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _sync_folder(folder: Path) -> None:
    """Make a rename or link survive a power cut, if the system supports it."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError:
        pass  # some network file systems do not sync folders; the object itself is synced
    finally:
        os.close(descriptor)

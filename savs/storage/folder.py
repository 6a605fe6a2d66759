"""A local folder as a store: atomic renames, hard links for `create`, everything synced to disk."""

import functools
import hashlib
import os
import re
import stat
import uuid
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from errno import ENAMETOOLONG, ENOENT, ENOTDIR
from pathlib import Path
from typing import IO

from savs.errors import Changed, NotFound, StorageError
from savs.storage.links import check_opened, check_path
from savs.storage.regular import open_regular
from savs.storage.store import Listed, checked_key
from savs.storage.walk import sorted_names, walk_folder

TEMPORARY = re.compile(r"\..*\.[0-9a-f]{32}\.tmp", re.S)  # a file that LocalStore is about to rename


class LocalStore:
    """A folder. Needs a file system with hard links, which every common one has.

    inside  folders: a file that is reached by links must lie in one of them; None if it may lie anywhere
    pipes   whether objects may be pipes and devices, whose reader waits; otherwise only files are read
    """

    def __init__(self, root: Path, inside: Sequence[str | Path] | None = None, pipes: bool = False) -> None:
        self.root, self.inside, self.pipes = root, inside, pipes
        self.url = str(root)

    def _path(self, key: str) -> Path:
        return self.root / checked_key(key)

    def _folder(self, prefix: str) -> Path:
        folder = self._path(prefix) if prefix else self.root
        check_path(folder, self.inside)
        return folder

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
        path = self._path(key)
        stream = open_regular(path, self.pipes)
        try:
            check_opened(stream.fileno(), path, self.inside)
        except BaseException:
            stream.close()
            raise
        return stream

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
        temporary = path.with_name(f".{_start_of(path.name)}.{uuid.uuid4().hex}.tmp")
        check_path(path.parent, self.inside)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with temporary.open("xb") as stream:
                check_opened(stream.fileno(), path, self.inside)
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
        root = len(self.root.parts)
        yield from sorted(
            "/".join((*Path(folder).parts[root:], name))
            for folder, name in _files_below(self._folder(prefix))
        )

    def walk(self, prefix: str) -> Iterator[Listed]:
        check_path(self.root / prefix, self.inside)
        yield from walk_folder(self.root, prefix)

    def folders(self, prefix: str) -> Iterator[str]:
        yield from sorted(entry.name for entry in _entries(self._folder(prefix)) if _is(entry, "dir"))

    def files(self, prefix: str) -> Iterator[str]:
        folder = self._folder(prefix)
        if not folder.is_dir():
            return
        for name in sorted_names(folder):
            if not name.endswith("/") and not TEMPORARY.fullmatch(name):
                yield name

    def honours_conditions(self) -> bool:
        return True  # a hard link is created or not; without hard links `create` raises

    def exists(self, key: str) -> bool:
        path = self._path(key)
        try:
            return stat.S_ISREG(path.stat().st_mode)
        except OSError as error:
            if error.errno in (ENOENT, ENOTDIR, ENAMETOOLONG):
                return False
            raise StorageError(f"{path} cannot be read: {error.strerror}") from error

    def delete(self, key: str) -> None:
        path = self._path(key)
        check_path(path.parent, self.inside)
        try:
            path.unlink()
        except (FileNotFoundError, NotADirectoryError):
            pass
        except OSError as error:
            raise StorageError(f"{path} cannot be deleted: {error.strerror}") from error

    def prune(self, prefix: str) -> None:
        folder = self._folder(prefix)
        # The deepest first; one that is not empty stays, and so do those above it.
        for path, _, _ in os.walk(folder, topdown=False):
            with suppress(OSError):
                os.rmdir(path)  # noqa: PTH106

    def size(self, key: str) -> int:
        return self._stat(key).st_size

    def _stat(self, key: str) -> os.stat_result:
        path = self._path(key)
        try:
            return path.stat()
        except OSError as error:
            if error.errno in (ENOENT, ENOTDIR, ENAMETOOLONG):
                raise NotFound(f"{path} does not exist") from error
            raise StorageError(f"{path} cannot be read: {error.strerror}") from error

    def etag(self, key: str) -> str:
        path, found = self._path(key), self._stat(key)
        try:
            return _sha256_of_file(str(path.resolve()), found.st_size, found.st_mtime_ns)
        except OSError as error:
            raise StorageError(f"{path} cannot be read: {error.strerror}") from error


def _start_of(name: str) -> str:
    return os.fsdecode(os.fsencode(name)[:100])  # limits are in bytes


def _entries(folder: Path | str) -> "list[os.DirEntry[str]]":
    """Return what is in a folder; nothing if there is no such folder. Raises StorageError."""
    try:
        with os.scandir(folder) as entries:
            return list(entries)
    except OSError as error:
        if error.errno in (ENOENT, ENOTDIR, ENAMETOOLONG):
            return []
        raise StorageError(f"{folder} cannot be listed: {error.strerror}") from error


def _is(entry: "os.DirEntry[str]", kind: str) -> bool:
    """Return whether an entry is a "file" or a "dir", links followed."""
    try:
        return entry.is_file() if kind == "file" else entry.is_dir()
    except OSError:  # a link to itself, or to what cannot be read
        return False


def _files_below(folder: Path | str) -> Iterator[tuple[str, str]]:
    """Yield folder and name of every file below `folder`. Links to folders are not followed."""
    for entry in _entries(folder):
        if entry.is_dir(follow_symlinks=False):
            yield from _files_below(entry.path)
        elif _is(entry, "file") and not TEMPORARY.fullmatch(entry.name):
            yield str(folder), entry.name


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

"""Lists all files below a local folder in order, with memory that does not depend on their number."""

import os
import tempfile
from collections.abc import Iterator
from heapq import merge
from pathlib import Path

from savs.errors import StorageError
from savs.storage.store import Listed

SORTED_AT_ONCE = 200_000  # names of a folder; more are sorted in parts, on disk


def walk_folder(root: Path, prefix: str) -> Iterator[Listed]:
    """Yield the files below `root`/`prefix`, by their paths relative to `root`, sorted by these. Links to
    folders are not followed; what is neither a file nor a link to one is left out. Raises StorageError."""
    for name in sorted_names(root / prefix):
        key = f"{prefix}{name}"
        if name.endswith("/"):
            yield from walk_folder(root, key)
            continue
        try:
            found = (root / key).stat()
        except OSError as error:
            raise StorageError(f"{root / key} cannot be read: {error.strerror}") from error
        yield Listed(key, found.st_size, str(found.st_mtime_ns))


def sorted_names(folder: Path) -> Iterator[str]:
    """Yield the names of files and folders, the latter with a "/"; in order."""
    parts: list[Path] = []
    names: list[str] = []
    with tempfile.TemporaryDirectory(prefix="savs-") as place:
        try:
            with os.scandir(folder) as entries:
                for entry in entries:
                    if entry.is_dir(follow_symlinks=False):
                        names.append(entry.name + "/")
                    elif _is_file(entry):
                        names.append(entry.name)
                    if len(names) == SORTED_AT_ONCE:
                        parts.append(_stored(sorted(names), Path(place) / str(len(parts))))
                        names = []
        except OSError as error:
            raise StorageError(f"{folder} cannot be listed: {error.strerror}") from error
        yield from merge(sorted(names), *map(_read, parts))


def _is_file(entry: "os.DirEntry[str]") -> bool:
    try:
        return entry.is_file()
    except OSError:  # a link to itself, or to what cannot be read
        return False


def _stored(names: list[str], path: Path) -> Path:
    with path.open("wb") as file:
        file.writelines(os.fsencode(name) + b"\0" for name in names)
    return path


def _read(path: Path) -> Iterator[str]:
    rest = b""
    with path.open("rb") as file:
        while block := file.read(2**16):
            *names, rest = (rest + block).split(b"\0")
            yield from map(os.fsdecode, names)

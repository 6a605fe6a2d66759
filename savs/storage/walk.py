"""Lists all files below a local folder in order, with memory that does not depend on their number."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from heapq import merge
from pathlib import Path

from savs.errors import StorageError
from savs.storage.store import Listed

SORTED_AT_ONCE = 200_000  # names of a folder; more are sorted in parts, on disk


def walk_folder(root: Path, prefix: str) -> Iterator[Listed]:
    """Yield the files below `root`/`prefix`, by their paths relative to `root`, sorted by these. Links to
    folders are not followed; what is neither a file nor a link to one is left out, and so is what vanishes
    meanwhile. Raises StorageError."""
    folders = [
        (prefix, sorted_names(root / prefix))
    ]  # not by recursion: folders may be nested by the thousand
    while folders:
        above, names = folders[-1]
        if (name := next(names, None)) is None:
            folders.pop()
        elif name.endswith("/"):
            folders.append((above + name, sorted_names(root / (above + name), needed=False)))
        elif (found := _stat(root / (above + name))) is not None:
            yield Listed(above + name, found.st_size, str(found.st_mtime_ns))


def sorted_names(folder: Path, needed: bool = True) -> Iterator[str]:
    """Yield the names of files and folders, the latter with a "/"; in order. Of a folder that does not exist,
    and is not `needed`, there are none."""
    parts: list[Path] = []
    names: list[str] = []
    with ExitStack() as held:
        try:
            with os.scandir(folder) as entries:
                for entry in entries:
                    if entry.is_dir(follow_symlinks=False):
                        names.append(entry.name + "/")
                    elif _is_file(entry):
                        names.append(entry.name)
                    if len(names) == SORTED_AT_ONCE:
                        if not parts:
                            place = Path(held.enter_context(tempfile.TemporaryDirectory(prefix="savs-")))
                        parts.append(_stored(sorted(names), place / str(len(parts))))
                        names = []
        except FileNotFoundError as error:
            if needed:
                raise StorageError(f"{folder} does not exist") from error
        except OSError as error:
            raise StorageError(f"{folder} cannot be listed: {error.strerror}") from error
        yield from merge(sorted(names), *map(_read, parts))


def _stat(path: Path) -> os.stat_result | None:
    try:
        return path.stat()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise StorageError(f"{path} cannot be read: {error.strerror}") from error


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

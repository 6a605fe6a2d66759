"""Opens regular files only. A pipe or a socket would block its reader, `/dev/zero` never ends, and a device
may act on being opened. What a path leads to is checked on the open descriptor, so it cannot be exchanged
between the check and the reading.
"""

import os
import stat
from io import BufferedReader
from pathlib import Path

from savs.errors import NotFound, StorageError

BY_NUMBER = Path("/proc/self/fd")  # where Linux opens what a descriptor refers to
KINDS = {
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a named pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


def open_regular(path: Path, pipes: bool = False) -> BufferedReader:
    """Return the file at `path`, open for reading; links are followed.

    pipes  whether it may be a pipe or a device as well

    Raises NotFound, and StorageError for anything but a regular file that may be read.
    """
    try:
        return os.fdopen(os.open(path, os.O_RDONLY) if pipes else _descriptor(path), "rb")
    except (FileNotFoundError, NotADirectoryError) as error:
        raise NotFound(f"{path} does not exist") from error
    except OSError as error:
        raise StorageError(f"{path} cannot be read: {error.strerror}") from error
    except ValueError as error:  # a NUL character, or half of a character
        raise StorageError(f"{str(path)!r} cannot be the path of a file") from error


def _descriptor(path: Path) -> int:
    if not hasattr(os, "O_PATH") or not BY_NUMBER.is_dir():
        return _checked(os.open(path, os.O_RDONLY | os.O_NONBLOCK), path)
    # O_PATH finds a file without opening it. The second open may wait for a lease that a file server holds,
    # which O_NONBLOCK would turn into an error.
    place = _checked(os.open(path, os.O_PATH), path)
    try:
        return os.open(BY_NUMBER / str(place), os.O_RDONLY)
    finally:
        os.close(place)


def _checked(descriptor: int, path: Path) -> int:
    kind = stat.S_IFMT(os.fstat(descriptor).st_mode)
    if kind == stat.S_IFREG:
        return descriptor
    os.close(descriptor)
    raise StorageError(f"{path} is {KINDS.get(kind, 'something else')}, not a file")

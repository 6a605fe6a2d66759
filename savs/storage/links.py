"""Refuses files that links reach outside of the folders in which they must lie.

Whoever may write in a shared folder can put a link there that leads to a file that only its reader may
read. A path that was checked can be replaced by a link before it is opened, so what counts is the place of
the file that is open.
"""

import os
from collections.abc import Sequence
from pathlib import Path

from savs.errors import OutsideLink

DELETED = " (deleted)"  # what Linux adds to the path of an open file that was replaced or deleted


def check_path(path: Path, inside: Sequence[str | Path] | None) -> None:
    """Raises OutsideLink if `path`, links followed, is in none of the folders `inside`; None allows all."""
    if inside is not None:
        _check(os.path.realpath(path), path, inside)


def check_opened(descriptor: int, path: Path, inside: Sequence[str | Path] | None) -> None:
    """Raises OutsideLink if the open file, which was opened as `path`, is in none of the folders `inside`."""
    if inside is not None:
        _check(place_of(descriptor, path).removesuffix(DELETED), path, inside)


def place_of(descriptor: int, path: Path) -> str:
    """Return the path of an open file, links followed. Linux knows it; elsewhere it is that of `path` now, so
    that a link that is exchanged at this moment is not noticed."""
    try:
        return os.readlink(f"/proc/self/fd/{descriptor}")  # noqa: PTH115
    except OSError:
        return os.path.realpath(path)


def _check(place: str, path: Path, inside: Sequence[str | Path]) -> None:
    folders = [os.path.realpath(folder) for folder in inside]
    if not any(place == folder or place.startswith(folder.rstrip("/") + "/") for folder in folders):
        raise OutsideLink(
            f"{path} is reached by a link that leads out of {' and '.join(map(str, inside)) or 'all roots'}; "
            "copy the file there in place of the link"
        )

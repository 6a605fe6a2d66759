"""Paths of media that must lie in certain folders, also once they are open."""

from collections.abc import Sequence


class ConfinedPath(str):
    """A local path. Its file, links followed, must lie in one of the folders `inside`."""

    inside: tuple[str, ...]

    @classmethod
    def of(cls, path: str, inside: Sequence[str]) -> "ConfinedPath":
        confined = cls(path)
        confined.inside = tuple(inside)
        return confined


def inside_of(address: str) -> tuple[str, ...] | None:
    """Return the folders in which the file at `address` must lie; None if it may lie anywhere."""
    return address.inside if isinstance(address, ConfinedPath) else None

"""Local paths as people give them."""

from collections.abc import Callable
from pathlib import Path


def resolve_address(url: str) -> str:
    """A local path as it is everywhere on this machine; other addresses as they are."""
    return url if "://" in url else str(Path(url).expanduser().resolve())


def check_path(question: Callable[[], bool]) -> bool:
    """`question()` of a path; False where the system refuses: no permission, a name too long."""
    try:
        return question()
    except OSError:
        return False

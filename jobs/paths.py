"""Local paths as users type them."""

from collections.abc import Callable
from pathlib import Path

from savs.storage import without_scheme


def resolve_address(url: str) -> str:
    """Return a local path, or that of a file:// address, as an absolute one; other addresses unchanged."""
    url = without_scheme(url)
    return url if "://" in url else str(Path(url).expanduser().resolve())


def check_path(question: Callable[[], bool]) -> bool:
    """Return `question()` of a path, or False if the system refuses: no permission, a name too long."""
    try:
        return question()
    except OSError:
        return False

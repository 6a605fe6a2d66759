"""Local paths as users type them."""

from collections.abc import Callable

from savs.storage import absolute_path, without_scheme


def resolve_address(url: str) -> str:
    """Return a local path, or that of a file:// address, as an absolute one; other addresses unchanged.
    Raises SettingsError if it cannot be a path."""
    url = without_scheme(url)
    return url if "://" in url else str(absolute_path(url))


def check_path(question: Callable[[], bool]) -> bool:
    """Return `question()` of a path, or False if the system refuses: no permission, a name too long, a home
    folder that is not known."""
    try:
        return question()
    except (OSError, ValueError, RuntimeError):
        return False

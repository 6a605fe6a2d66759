"""Texts of datasets on the page, of which none may fill it."""

from typing import TypeVar

LONG = 600  # characters of a text that is shown
Value = TypeVar("Value")


def shorten(value: Value) -> Value:
    """Return a text, cut to LONG characters; anything else unchanged."""
    if isinstance(value, str) and len(value) > LONG:
        return f"{value[: LONG - 1]}…"  # type: ignore[return-value]
    return value

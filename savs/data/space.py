"""The memory that the decoded media of one item may take, and how whoever decodes them asks for it."""

import os
from collections.abc import Callable

from savs.errors import MediaTooLarge, SettingsError

SETTING = "SAVS_MAX_ITEM_BYTES"
MAX_ITEM_BYTES = 2 * 2**30  # unless the setting says otherwise
PIXEL_BYTES = 3  # RGB

# Called before pixels are decoded, with their bytes (those of all frames of a video) and with whether it may
# wait until other media leave memory. Returns False if it would have to wait and may not. Called again for
# the same file, it makes the space larger if needed. Raises MediaTooLarge, whose reason does not name the
# file.
Reserve = Callable[[int, bool], bool]


def max_item_bytes() -> int:
    """Return the limit of the decoded media of one item in bytes. Raises SettingsError."""
    text = os.environ.get(SETTING) or str(MAX_ITEM_BYTES)
    if not (text.isascii() and text.isdigit() and int(text)):
        raise SettingsError(
            f"{SETTING} is {text!r}; set it to a number of bytes, for example {MAX_ITEM_BYTES}"
        )
    return int(text)


def one_item(size: int, wait: bool = True) -> bool:
    """The `Reserve` of a file that is an item by itself and waits for nobody."""
    limit = max_item_bytes()
    if size > limit:
        raise MediaTooLarge(
            f"needs {size:,} bytes of memory when decoded; the limit of an item is {limit:,} ({SETTING})"
        )
    return True

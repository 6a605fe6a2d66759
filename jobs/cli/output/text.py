"""Text of users, safe to print on a terminal."""

import re

from rich import markup

CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")  # what would break lines or steer a terminal


def escape(text: str) -> str:
    """`text`, a user's, as rich prints it literally; control characters are spelt out."""
    return markup.escape(plain(text))


def plain(text: str) -> str:
    """`text` on one line, with control characters spelt out."""
    return CONTROL.sub(lambda found: f"\\x{ord(found.group()):02x}", text)

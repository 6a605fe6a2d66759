"""Makes text from users safe to print on a terminal."""

import re

from rich import markup

CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")  # break lines or control a terminal


def escape(text: str) -> str:
    """`text` with rich markup and control characters escaped, so that rich prints it literally."""
    return markup.escape(plain(text))


def plain(text: str) -> str:
    """`text` on one line, with control characters escaped."""
    return CONTROL.sub(lambda found: f"\\x{ord(found.group()):02x}", text)

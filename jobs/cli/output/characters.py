"""Escapes characters that control a terminal or cannot be written, in text and in JSON."""

import json
import re
from typing import Any

# They break lines, control a terminal or change the direction of text; the last are bytes of file names that
# are not text.
DIRECTION = "\u202a-\u202e\u2066-\u2069"
CONTROL = re.compile(f"[\x00-\x1f\x7f-\x9f{DIRECTION}\ud800-\udfff]")
JSON_CONTROL = re.compile(f"[\x7f-\x9f{DIRECTION}\ud800-\udfff]")  # those that json.dumps leaves


def plain(text: str) -> str:
    """`text` on one line, with control characters escaped."""
    return CONTROL.sub(lambda found: f"\\x{ord(found.group()):02x}", text)


def printable(text: str) -> str:
    """`text` with control characters other than line breaks escaped."""
    return "\n".join(map(plain, text.split("\n")))


def json_text(value: Any, indent: int | None = 1) -> str:
    """`value` in JSON, with control characters escaped also where JSON does not require it."""
    text = json.dumps(value, ensure_ascii=False, indent=indent)
    return JSON_CONTROL.sub(lambda found: f"\\u{ord(found.group()):04x}", text)

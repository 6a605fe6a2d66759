"""Hook of mkdocs: how commands look in a page's text.

The examples in the commands' own texts ("Example: savs-submit …") are shown as code, and no line ends within
the two dashes of an option.
"""

import re
from typing import Any

EXAMPLE = re.compile(r"<p>Example: ([^<]*)</p>")
CODE = re.compile(r"<code>([^<]*)</code>")  # in a text, not in a block
OPTION = re.compile(r"(?<![\w-])--[a-z][a-z-]*")


def on_page_content(html: str, **_: Any) -> str:
    """Return the page's HTML with examples as code, and options in one piece."""
    html = EXAMPLE.sub(lambda found: f"<p>Example: <code>{' '.join(found[1].split())}</code></p>", html)
    return CODE.sub(lambda found: f"<code>{OPTION.sub(_in_one_piece, found[1])}</code>", html)


def _in_one_piece(option: re.Match[str]) -> str:
    return f'<span class="option">{option.group()}</span>'

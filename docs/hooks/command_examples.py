"""Hook of mkdocs: the examples in the commands' texts ("Example: savs-submit …") are shown as code."""

import re
from typing import Any

EXAMPLE = re.compile(r"<p>Example: ([^<]*)</p>")


def on_page_content(html: str, **_: Any) -> str:
    """Return the page's HTML with its examples as code."""
    return EXAMPLE.sub(lambda found: f"<p>Example: <code>{' '.join(found[1].split())}</code></p>", html)

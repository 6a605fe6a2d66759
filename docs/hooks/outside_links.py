"""Hook of mkdocs: a link to a file outside of docs/ becomes the file's name, since the site has no such page.

The pages are read in the repository, too, where such a link leads somewhere. If its file does not exist,
the build fails.
"""

import re
from pathlib import Path
from typing import Any

from mkdocs.exceptions import PluginError

LINK = re.compile(r"\[([^\]]*)\]\((\.\./[^)#\s]+)(?:#[^)]*)?\)")


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Return the page's text with its outside links as names."""
    folder = Path(page.file.abs_src_path).parent

    def name(link: re.Match[str]) -> str:
        if not (folder / link[2]).exists():
            raise PluginError(f"{page.file.src_uri}: link to {link[2]}, which does not exist")
        path = link[2].removeprefix("../")
        return link[1] if path in link[1] else f"{link[1]} (`{path}`)"

    return LINK.sub(name, markdown)

"""Hook of mkdocs: what lies outside of docs/.

A link to a file outside becomes the file's name, since the site has no such page; in the repository, where
the pages are read, too, it leads somewhere. The build fails if that file does not exist, and if a built page
would load anything from another address.
"""

import re
from pathlib import Path
from typing import Any

from mkdocs.exceptions import PluginError

LOADED = re.compile(
    r"""<(?:script|link|img|iframe|video|audio|source)\b[^>]*\b(?:src|href)=["']?(?:https?:)?//[^>]*>"""
    r"""|<[^>]*\bclass="mermaid"[^>]*>"""  # for which the theme fetches a script
)
LINK = re.compile(r"\[([^\]]*)\]\((\.\./[^)#\s]+)(?:#[^)]*)?\)")


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Return the page's text with its outside links as names."""
    folder = Path(page.file.abs_src_path).parent
    docs = (folder / ("../" * page.file.src_uri.count("/"))).resolve()

    def name(link: re.Match[str]) -> str:
        target = (folder / link[2]).resolve()
        if target.is_relative_to(docs):  # of a page in a folder; mkdocs checks it
            return link[0]
        if not target.exists():
            raise PluginError(f"{page.file.src_uri}: link to {link[2]}, which does not exist")
        path = link[2].replace("../", "")
        return link[1] if path in link[1] else f"{link[1]} (`{path}`)"

    return LINK.sub(name, markdown)


def on_post_page(output: str, page: Any, **_: Any) -> str:
    """Return the page's HTML as it is. Raises PluginError if it would load something from elsewhere."""
    if (found := LOADED.search(output)) is not None:
        raise PluginError(f"{page.file.src_uri}: the page would load {found.group()}")
    return output

"""Extension of griffe: the plain text of savs' docstrings as Markdown.

A docstring lists names with what they mean, in two columns, and may have a tree:

    heads       how many heads it may use
    sha256, sizes  of its media, in order;
                   sizes in bytes

The names become a definition list, a tree a code block; everything else is Markdown already.
"""

import re
from typing import Any

import griffe

NAME = re.compile(r"((?:[a-zA-Z_]\w*)(?:, [a-zA-Z_]\w*)*) {2,}(\S.*)")


def as_markdown(text: str) -> str:
    """Return a docstring's text as Markdown."""
    return "\n\n".join(paragraph(part) for part in re.split(r"\n\s*\n", text))


def paragraph(text: str) -> str:
    lines = text.split("\n")
    if any("├──" in line for line in lines):
        return "```text\n" + text + "\n```"
    if NAME.fullmatch(lines[0]) is None:
        return text
    shown: list[str] = []
    for line in lines:
        if (found := NAME.fullmatch(line)) is not None:
            names = ", ".join(f"`{name}`" for name in found[1].split(", "))
            shown += ["", names, f":   {found[2]}"]
        else:
            shown.append("    " + line.strip())
    return "\n".join(shown[1:])


class PlainDocstrings(griffe.Extension):
    """Rewrites every docstring before it is rendered."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        if obj.docstring is not None:
            obj.docstring.value = as_markdown(obj.docstring.value)

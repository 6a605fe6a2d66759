"""Compares the output that a page shows with what its commands have printed."""

import re

# What another machine prints differently: folders, hashes, numbers, and the width of columns.
CHANGING = (
    (re.compile(r"\x1b\[[0-9;]*[A-Za-z]|\r"), ""),
    (re.compile(r"(?<![\w/])/[\w./~-]+/(?=[\w.-])"), ""),
    (re.compile(r"\b[0-9a-f]{8,}\b"), "#"),
    (re.compile(r"\d[\d.,:]*\d|\d"), "0"),
    (re.compile(r"\s+"), " "),
)


def plain(line: str) -> str:
    for pattern, replacement in CHANGING:
        line = pattern.sub(replacement, line)
    return line.strip()


def missing_line(shown: str, printed: str) -> str | None:
    """The first line of `shown` that `printed` does not have after the line before; None if it has all.

    Numbers, hashes and folders may differ. A line "…" stands for any lines, an "…" within a line for any
    text.
    """
    rest = iter([plain(line) for line in printed.splitlines()])
    for line in shown.splitlines():
        wanted = plain(line)
        if wanted in ("", "…"):
            continue
        pattern = re.compile(".*".join(re.escape(part) for part in wanted.split("…")))
        if not any(pattern.fullmatch(one) for one in rest):
            return line
    return None

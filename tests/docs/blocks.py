"""The fenced blocks of a page, and the commands of a block, each with its line."""

import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = tuple(
    str(path.relative_to(ROOT))
    for path in (ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md")))
)
FENCE = re.compile(r"^( *)```([a-z]*)[^\n]*\n(.*?)^\1```", re.S | re.M)


@dataclass(frozen=True)
class Block:
    """A fenced block. `line` is that of its first line of text, from 1; `language` may be empty."""

    page: str
    line: int
    language: str
    text: str


@dataclass(frozen=True)
class Command:
    """A whole command of a shell block, maybe of several lines."""

    page: str
    line: int
    text: str


def blocks_of(page: str) -> list[Block]:
    text = (ROOT / page).read_text()
    return [
        Block(page, text[: found.start(3)].count("\n") + 1, found[2], _outdented(found[3], found[1]))
        for found in FENCE.finditer(text)
    ]


def _outdented(text: str, indent: str) -> str:
    return "".join(line.removeprefix(indent) for line in text.splitlines(keepends=True))


def commands_of(block: Block) -> list[Command]:
    """The commands of a shell block. A command ends where bash finds it complete."""
    found: list[Command] = []
    begun: list[str] = []
    for number, line in enumerate(block.text.splitlines(), block.line):
        if not begun and (not line.strip() or line.lstrip().startswith("#")):
            continue
        begun.append(line)
        if _is_complete("\n".join(begun)):
            found.append(Command(block.page, number - len(begun) + 1, "\n".join(begun)))
            begun = []
    assert not begun, f"{block.page}:{block.line}: the block ends within a command: {begun}"
    return found


def _is_complete(text: str) -> bool:
    if text.endswith("\\"):
        return False
    checked = subprocess.run(["bash", "-n", "-c", text + "\n"], capture_output=True)
    return checked.returncode == 0 and not checked.stderr  # an open here-document is only a warning

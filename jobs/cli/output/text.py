"""Makes text from users safe to print on a terminal."""

import re

from rich import markup
from rich.console import Console
from rich.measure import Measurement
from rich.table import Table

CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")  # break lines or control a terminal
WIDEST = 10_000  # columns


def escape(text: str) -> str:
    """`text` with rich markup and control characters escaped, so that rich prints it literally."""
    return markup.escape(plain(text))


def plain(text: str) -> str:
    """`text` on one line, with control characters escaped."""
    return CONTROL.sub(lambda found: f"\\x{ord(found.group()):02x}", text)


def rows_of(count: int) -> str:
    """For example "1 row" or "12 rows"."""
    return f"{count} {'row' if count == 1 else 'rows'}"


def console() -> Console:
    """Standard output: lines are not wrapped, and numbers in names and ids have no colours of their own."""
    return Console(soft_wrap=True, emoji=False, highlight=False)


def print_uncut(table: Table) -> None:
    """Prints the table at its full width, even if the terminal is narrower."""
    plain = console()
    width = Measurement.get(plain, plain.options.update(width=WIDEST), table).maximum
    Console(width=width, emoji=False, highlight=False).print(table)

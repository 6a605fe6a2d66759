"""Makes text from users safe to print on a terminal."""

from rich import markup
from rich.console import Console
from rich.measure import Measurement
from rich.table import Table

from jobs.cli.output.characters import plain

WIDEST = 10_000  # columns


def escape(text: str) -> str:
    """`text` with rich markup and control characters escaped, so that rich prints it literally."""
    return markup.escape(plain(text))


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

"""Prints jobs as a table."""

from typing import Any

from rich.console import Console
from rich.measure import Measurement
from rich.table import Table

from jobs.cli.output.text import escape

NOTE_WIDTH = 60  # columns after which a note is wrapped; no other column is wrapped or cut

WIDEST = 10_000  # columns


def print_jobs(states: list[dict[str, Any]]) -> None:
    """Prints jobs as a table, then the reasons of those that have one."""
    table = Table(box=None)
    for column in ("job", "state", "shards", "rows", "failed", "accuracy", "submitted"):
        table.add_column(column, no_wrap=True)
    table.add_column("note", overflow="fold", max_width=NOTE_WIDTH)
    for state in states:
        accuracy = state["accuracy"]
        table.add_row(
            escape(state["job_id"]),
            state["status"],
            f"{state['shards_done']}/{state['shards']}",
            str(state["rows"]),
            str(state["failed"]),
            "" if accuracy is None else f"{accuracy:.3f}",
            state["submitted"],
            escape(state["note"] or ""),
        )
    console = Console(soft_wrap=True, emoji=False)
    if states:
        _print_uncut(table)
    else:
        console.print("no jobs")
    for state in states:
        if state["reason"]:
            console.print(f"{escape(state['job_id'])}: {escape(state['reason'])}")


def _print_uncut(table: Table) -> None:
    """Prints the table at its full width, even if the terminal is narrower."""
    console = Console(emoji=False)
    width = Measurement.get(console, console.options.update(width=WIDEST), table).maximum
    Console(width=width, emoji=False).print(table)

"""Prints jobs as a table."""

from typing import Any

from rich.table import Table

from jobs.cli.output.advice import complete
from jobs.cli.output.text import console, escape, print_uncut

NOTE_WIDTH = 60  # columns after which a note is wrapped; no other column is wrapped or cut


def print_jobs(states: list[dict[str, Any]]) -> None:
    """Prints jobs as a table, then the reasons of those that have one."""
    table = Table(box=None)
    abstained = any(state.get("abstained") for state in states)
    counts = ("rows", *(["abstained"] if abstained else []), "failed")
    for column in ("job", "state", "shards", *counts, "accuracy", "submitted"):
        table.add_column(column, no_wrap=True)
    table.add_column("note", overflow="fold", max_width=NOTE_WIDTH)
    for state in states:
        accuracy = state["accuracy"]
        table.add_row(
            escape(state["job_id"]),
            state["status"],
            f"{state['shards_done']}/{state['shards']}",
            *(str(state.get(count, 0)) for count in counts),
            "" if accuracy is None else f"{accuracy:.3f}",
            state["submitted"],
            escape(state["note"] or ""),
        )
    out = console()
    if states:
        print_uncut(table)
    else:
        out.print("no jobs")
    for state in states:
        if state["reason"]:
            out.print(f"{escape(state['job_id'])}: {escape(complete(state['reason']))}")

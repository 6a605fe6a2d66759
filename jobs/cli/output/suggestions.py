"""Prints the items that are most worth labelling."""

from typing import Any

from rich.table import Table

from jobs.cli.output.text import console, escape, print_uncut

TEXT_WIDTH = 40  # columns of an id or a class, after which it is wrapped


def print_suggestions(items: list[dict[str, Any]], free: int) -> None:
    """Prints a table of items, the most doubtful first, and of how many they were picked."""
    table = Table(box=None)
    table.add_column("index", justify="right", no_wrap=True)
    for column in ("id", "prediction"):
        table.add_column(column, overflow="fold", max_width=TEXT_WIDTH)
    table.add_column("confidence", no_wrap=True)
    table.add_column("runner-up", overflow="fold", max_width=TEXT_WIDTH)
    for one in items:
        said, confidence = one["prediction"], one["confidence"]
        table.add_row(
            str(one["index"]),
            escape(one["id"]),
            escape(", ".join(said) if isinstance(said, list) else said or ""),
            "" if confidence is None else f"{confidence:.3f}",
            escape(one["runner_up"] or ""),
        )
    print_uncut(table)
    console().print(f"{len(items)} of {free:,} rows without a known label")

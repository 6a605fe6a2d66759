"""Prints the scores of splits, or of tasks that share a pass, as a table."""

from rich.table import Table

from jobs.cli.output.text import console, escape
from jobs.reduce.split_scores import Mean, SplitScore, SplitScores


def print_splits(found: SplitScores) -> None:
    """Prints the scores of the splits or tasks of a name, and their means."""
    out = console()
    leaks = any(one.without_leaks is not None for one in found.splits)
    table = Table(found.kind.removesuffix("s"), box=None, padding=(0, 2))
    for column in ("rows", "accuracy", "95 % interval", *(["without leaks"] if leaks else [])):
        table.add_column(column, justify="right", no_wrap=True)

    def add(name: str, rows: int, scores: SplitScore | Mean | None, without: float | None = None) -> None:
        accuracy, interval = (scores.accuracy, scores.accuracy_interval) if scores else (None, None)
        rates = ["" if rate is None else f"{rate:.3f}" for rate in (accuracy, without)]
        between = "" if interval is None else f"{interval[0]:.3f} to {interval[1]:.3f}"
        table.add_row(name, str(rows), rates[0], between, *([rates[1]] if leaks else []))

    for one in found.splits:
        add(escape(one.split), one.rows, one, one.without_leaks)
    rows, scored = sum(one.rows for one in found.splits), [s for s in found.splits if s.accuracy is not None]
    add(f"mean over {len(scored)} {found.kind}", rows, found.macro)
    add("mean over all rows", rows, found.micro)
    out.print(f"[bold]{escape(found.name)}[/bold]: {len(found.splits)} {found.kind}")
    out.print(table)
    if len(scored) < len(found.splits):
        out.print(
            f"  {found.kind} without an accuracy are left out: they have no labels, several per row, or have "
            "not ended"
        )

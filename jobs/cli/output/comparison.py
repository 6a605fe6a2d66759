"""Prints comparisons of two jobs."""

from rich.table import Table

from jobs.cli.output.text import console, escape, print_uncut
from jobs.reduce.comparison import Comparison


def print_comparison(found: Comparison) -> None:
    """Prints one comparison of `savs-submit compare`."""
    out = console()
    for job_id, rate, (low, high) in zip(found.jobs, found.accuracies, found.intervals, strict=True):
        out.print(f"[bold]{escape(job_id)}[/bold]: accuracy {rate:.3f} ({low:.3f} to {high:.3f})")
    out.print(
        f"  {found.rows} rows: {found.both_right} both right, {found.only_first} only the first, "
        f"{found.only_second} only the second, {found.neither} neither"
    )
    out.print(f"  difference {_difference(found)}, p = {found.p:.3g} (McNemar, exact)")


def print_comparisons(pairs: list[tuple[str, str]], found: list[Comparison]) -> None:
    """Prints several comparisons as a table of two lines each. `pairs` are the names that the user gave."""
    table = Table(box=None)
    for column in ("job", "accuracy (95 %)", "difference (95 %)", "p"):
        table.add_column(column, no_wrap=True)
    for names, one in zip(pairs, found, strict=True):
        more = [("", ""), (_difference(one), f"{one.p:.3g}")]
        for name, rate, (low, high), cells in zip(names, one.accuracies, one.intervals, more, strict=True):
            table.add_row(escape(name), f"{rate:.3f} ({low:.3f} to {high:.3f})", *cells)
    print_uncut(table)


def _difference(found: Comparison) -> str:
    low, high = found.difference_interval
    return f"{found.difference:+.3f} ({low:+.3f} to {high:+.3f})"

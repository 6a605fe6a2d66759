"""Prints the estimates of `savs-submit plan`."""

from rich.console import Console

from jobs.cli.output.summary import CLASSES_SHOWN
from jobs.cli.output.text import escape
from jobs.submit.estimate import Estimate


def print_estimate(found: Estimate) -> None:
    """Prints the estimate for one manifest."""
    console = Console(soft_wrap=True, emoji=False)
    console.print(f"[bold]{escape(found.url)}[/bold]")
    console.print(f"  {found.rows} rows ({found.kind}), {found.bytes} bytes")
    if found.shards:
        console.print(f"  shards: {found.shards}, of up to {found.shard_rows} rows")
    for name, count in list(found.classes.items())[:CLASSES_SHOWN]:
        console.print(f"    {escape(name)}: {count}")
    if len(found.classes) > CLASSES_SHOWN:
        console.print(f"    … and {len(found.classes) - CLASSES_SHOWN} more classes")
    for bad in found.bad:
        console.print(f"  [yellow]line {bad.line}[/yellow]: {escape(bad.reason)}")
    if found.problems > len(found.bad):
        console.print(f"  … and {found.problems - len(found.bad)} more unusable rows")
    for name, line in found.unknown.items():
        console.print(
            f"  [yellow]line {line}[/yellow]: field {escape(name)!r} is not used by format {found.format!r}"
        )
    for bad in found.absent:
        console.print(f"  [yellow]line {bad.line}[/yellow]: {escape(bad.reason)}")
    if found.missing is not None:
        console.print(f"  missing media files: {found.missing}")
    if found.refused:
        console.print(f"  [red]cannot be submitted[/red]: {escape(found.refused)}")
    elif found.hours is None:
        console.print(
            "  hours: unknown, no job has measured this model's rate; give --rate, or run a small job"
        )
    else:
        cost = "" if found.cost is None else f", cost {found.cost:,.2f}"
        time = f"{found.hours:.1f} hours" if found.hours >= 1 else f"{60 * found.hours:.1f} minutes"
        console.print(f"  {time} at {found.rate:g} items/s per GPU{cost}")
    console.print()

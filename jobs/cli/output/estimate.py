"""Prints the estimates of `savs-submit plan`."""

from jobs.cli.output.advice import NO_QUESTION, QUESTION_OPTION
from jobs.cli.output.summary import CLASSES_SHOWN
from jobs.cli.output.text import console, escape
from jobs.records.job import RATE_SECONDS
from jobs.submit.estimate import Estimate
from savs.data.media import base_name
from savs.errors import told


def print_estimate(found: Estimate) -> None:
    """Prints the estimate for one manifest."""
    out = console()
    out.print(f"[bold]{escape(found.url)}[/bold]")
    out.print(f"  {found.rows} rows ({found.kind}), {found.bytes} bytes")
    if found.shards:
        out.print(f"  shards: {found.shards}, of up to {found.shard_rows} rows")
    for name, count in list(found.classes.items())[:CLASSES_SHOWN]:
        out.print(f"    {escape(name)}: {count}")
    if len(found.classes) > CLASSES_SHOWN:
        out.print(f"    … and {len(found.classes) - CLASSES_SHOWN} more classes")
    for row in found.first:
        shown = ", ".join(map(base_name, row.media)) or "no media"
        asked = "the artifact's question" if row.question is None else repr(row.question)
        known = "" if row.label is None else f" → {row.label!r}"
        out.print(f"    {escape(shown)}: {escape(asked)}{escape(known)}")
    for bad in found.bad:
        out.print(f"  [yellow]line[/yellow] {escape(told(bad))}")
    if any(bad.reason == NO_QUESTION for bad in found.bad):
        out.print(f"  {QUESTION_OPTION}")
    if (more := found.problems - sum(bad.count for bad in found.bad)) > 0:
        out.print(f"  … and {more} more unusable rows")
    if found.unknown:
        names = ", ".join(map(repr, found.unknown))
        out.print(f"  [yellow]not used by format {found.format!r}, kept as extra[/yellow]: {escape(names)}")
    for warning in found.warnings:
        out.print(f"  [yellow]{escape(warning)}[/yellow]")
    for bad in found.absent:
        out.print(f"  [yellow]line {bad.line}[/yellow]: {escape(bad.reason)}")
    if found.missing is not None:
        out.print(f"  missing media files: {found.missing}")
    if found.kept_bytes is not None:
        out.print(f"  kept head vectors: {found.kept_bytes:,} bytes")
    if found.refused:
        out.print(f"  [red]cannot be submitted[/red]: {escape(found.refused)}")
    elif found.hours is None:
        out.print(
            "  hours: unknown, because no job in the workspace has measured this model's rate: one that is "
            f"done and took at least {RATE_SECONDS:.0f} s of its workers' time does; or give --rate"
        )
    else:
        cost = "" if found.cost is None else f", cost {found.cost:,.2f}"
        time = f"{found.hours:.1f} hours" if found.hours >= 1 else f"{60 * found.hours:.1f} minutes"
        out.print(f"  {time} at {found.rate:g} items/s per GPU{cost}")
    out.print()

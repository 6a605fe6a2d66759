"""Prints a finding of `savs-submit doctor`."""

from rich.console import Console

from jobs.cli.doctor import Finding
from jobs.cli.output.text import escape


def print_finding(finding: Finding) -> None:
    """A line of `savs-submit doctor`."""
    colour = {"good": "green", "doubtful": "yellow"}.get(finding.state, "red")
    Console(soft_wrap=True, emoji=False).print(
        f"[{colour}]{finding.state:8}[/{colour}] {escape(finding.what)}: {escape(finding.text)}"
    )

"""Prints the findings of `savs-submit doctor`."""

from jobs.cli.doctor_checks import Finding
from jobs.cli.output.advice import complete
from jobs.cli.output.text import console, escape

WORDS = {"good": "OK", "doubtful": "WARN", "wrong": "FAIL"}


def print_finding(finding: Finding) -> None:
    """Prints one finding as a line."""
    colour = {"good": "green", "doubtful": "yellow"}.get(finding.state, "red")
    text = escape(complete(finding.text))
    console().print(f"[{colour}]{WORDS[finding.state]:4}[/{colour}] {escape(finding.what)}: {text}")

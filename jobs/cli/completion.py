"""The `completion` command."""

import os
import sys
from pathlib import Path

import click
from click.shell_completion import get_completion_class

from jobs.cli.group import main

PROGRAM = "savs-submit"
VARIABLE = "_SAVS_SUBMIT_COMPLETE"


@main.command(short_help="Print a shell's completion script.")
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]), required=False)
def completion(shell: str | None) -> None:
    """Print the script that makes SHELL complete commands, options and names of jobs.

    SHELL is the current one by default.

    Example: eval "$(savs-submit completion bash)"
    """
    shell = shell or Path(os.environ.get("SHELL", "")).name
    found = get_completion_class(shell)
    if found is None:
        click.echo(f"{PROGRAM}: give a shell: bash, zsh or fish", err=True)
        sys.exit(2)
    click.echo(found(main, {}, PROGRAM, VARIABLE).source())

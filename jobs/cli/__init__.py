"""The `savs-submit` command. Imports are inside the commands, so that `--help` answers at once."""

from jobs.cli import check, completion, look, mend, submit
from jobs.cli.group import main

__all__ = ["check", "completion", "look", "main", "mend", "submit"]

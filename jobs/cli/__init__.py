"""The `savs-submit` command. Imports are inside the commands, so that `--help` answers at once."""

from jobs.cli import look, submit
from jobs.cli.group import main

__all__ = ["look", "main", "submit"]

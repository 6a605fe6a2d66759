"""What the code has that `deploy/` and the pages about it name: variables, commands, metrics, keys."""

import re
from pathlib import Path

from jobs.cli import main as submit_command
from jobs.records.message import CPU_QUEUE
from jobs.settings import Settings
from workers.cli import main as worker_command
from workers.monitoring.metrics import Metrics

ROOT = Path(__file__).parents[2]
PROGRAMS = {"savs-worker": worker_command, "savs-submit": submit_command}


def variables() -> set[str]:
    """The SAVS_ variables that the commands read: settings, and those of their options."""
    options = {
        name
        for program in PROGRAMS.values()
        for command in program.commands.values()
        for option in command.params
        for name in ([option.envvar] if isinstance(option.envvar, str) else option.envvar or [])
    }
    return {f"SAVS_{name.upper()}" for name in Settings.model_fields} | options


def options(program: str, command: str) -> set[str]:
    """The options of a command; KeyError if there is no such command."""
    one = PROGRAMS[program].commands[command]
    return {name for option in one.params for name in option.opts + option.secondary_opts} | {"--help"}


def metrics() -> set[str]:
    """The names of the metrics of a cpu worker, which has those of a gpu worker, too."""
    families = Metrics("redis://127.0.0.1:1", CPU_QUEUE).registry.collect()
    return {f"{one.name}_total" if one.type == "counter" else one.name for one in families}


def keys() -> set[str]:
    """What follows `savs:` in the names of Redis's keys, up to the next colon."""
    sources = [path for name in ("jobs", "workers") for path in (ROOT / name).rglob("*.py")]
    return {key for path in sources for key in re.findall(r'"savs:(\w+)', path.read_text())}

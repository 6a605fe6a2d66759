"""Shared by all commands: the command group, error reporting, and finding jobs by name."""

import json
import sys
from functools import wraps
from typing import TYPE_CHECKING, Any, NoReturn

import click

from jobs.cli.option_list import Command
from jobs.cli.output.characters import printable

if TYPE_CHECKING:
    from jobs.ledger.ledger import Ledger


def reports_errors(command: Command) -> Command:
    """Prints errors of savs and Redis as one message, with exit code 2 for wrong usage, else 1."""

    @wraps(command)
    def run(*args: Any, **kwargs: Any) -> Any:
        from jobs.settings import set_up_environment
        from savs.errors import (
            ArtifactNotFound,
            DatasetError,
            JobNotFound,
            ManifestError,
            ModelNotFound,
            SavsError,
            SettingsError,
        )

        wrong_usage = (
            SettingsError,
            ManifestError,
            DatasetError,
            JobNotFound,
            ArtifactNotFound,
            ModelNotFound,
        )
        as_json = kwargs.get("as_json", False)
        try:
            set_up_environment()
            return command(*args, **kwargs)
        except SavsError as error:
            _fail(str(error), as_json, 2 if isinstance(error, wrong_usage) else 1)
        except Exception as error:
            redis = sys.modules.get("redis")  # a command that needs no broker has not imported it
            if redis is None or not isinstance(error, redis.RedisError):
                raise
            _fail(f"the broker does not answer ({error}); repeating the command is safe", as_json, 1)
        except KeyboardInterrupt:
            name = kwargs.get("name", "NAME")
            if command.__name__ == "watch":
                text = f"stopped watching; the jobs continue. To stop them: savs-submit cancel {name}"
                _fail(text, False, 1)
            resume = f", or: savs-submit resume {name}" if _has_jobs(kwargs.get("workspace"), name) else ""
            _fail(f"stopped; to continue, repeat the command{resume}", False, 1)

    return run  # type: ignore[return-value]


def _has_jobs(workspace: str | None, name: str) -> bool:
    """Whether a command that was stopped had written jobs of NAME."""
    from savs.errors import SavsError

    try:
        return bool(ledger_of(workspace).job_ids(name))
    except SavsError:
        return False


def _fail(message: str, as_json: bool, code: int) -> NoReturn:
    from jobs.cli.output.advice import complete, with_question_option

    message = complete(with_question_option(message))
    if as_json:
        click.echo(json.dumps({"error": message}))
    click.echo(printable(f"savs-submit: {message}"), err=True)
    sys.exit(code)


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="savs", prog_name="savs-submit")
def main() -> None:
    """Label image and video corpora from a few examples per class.

    \b
        savs-submit run --train train.jsonl --data corpus.jsonl --model qwen2.5_vl \\
            --workspace results --name pets
    """


def ledger_of(workspace: str | None) -> "Ledger":
    """The ledger of the workspace given by the option or the settings."""
    from jobs.ledger.ledger import Ledger
    from jobs.settings import workspace_of

    return Ledger(workspace_of(workspace))


def complete_name(context: click.Context, parameter: click.Parameter, begun: str) -> list[str]:
    """Names of jobs for shell completion; none if the workspace cannot be read."""
    from jobs.settings import set_up_environment
    from savs.errors import SavsError

    try:
        set_up_environment()
        ids = ledger_of(context.params.get("workspace")).job_ids()
    except SavsError:
        return []
    return sorted({name for job_id in ids if (name := job_id.rsplit("-", 2)[0]).startswith(begun)})


name_argument = click.argument("name", shell_complete=complete_name)

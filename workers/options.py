"""The options of `savs-worker`, and how its errors are reported. Imports nothing that takes time."""

import re
import sys
from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar

import click

GPUS = re.compile(r"\d+(,\d+)*", re.ASCII)
Command = TypeVar("Command", bound=Callable[..., Any])

broker_option = click.option(
    "--broker",
    metavar="URL",
    help="The pool's Redis, for example redis://localhost:6379/0 [SAVS_BROKER_URL, or savs.toml]. "
    "With a password, use the variable: others see a command line.",
)
workspace_option = click.option(
    "--workspace",
    metavar="DIR",
    help="Folder or s3:// address of all results, for example s3://bucket/savs [SAVS_WORKSPACE, or "
    "savs.toml].",
)
roots_option = click.option(
    "--allowed-root",
    "roots",
    metavar="DIR",
    multiple=True,
    envvar="SAVS_ALLOWED_ROOTS",
    help="Folder or s3:// address below which it may read, besides the workspace, for example "
    "s3://bucket/media; may be repeated [SAVS_ALLOWED_ROOTS, separated by blanks].",
)
http_option = click.option(
    "--allow-http",
    is_flag=True,
    envvar="SAVS_ALLOW_HTTP",
    help="Also fetch media from http:// and https:// addresses [SAVS_ALLOW_HTTP=1].",
)
self_test_option = click.option(
    "--skip-self-test",
    is_flag=True,
    help="Do not try, when the model is loaded, whether its answers depend on what else is in a batch.",
)
log_option = click.option(
    "--log-format",
    type=click.Choice(["text", "json"]),
    default="text",
    show_default=True,
    envvar="SAVS_LOG_FORMAT",
    help="A line per event for people, or a JSON object for machines, for example "
    "--log-format json [SAVS_LOG_FORMAT].",
)
metrics_option = click.option(
    "--metrics-port",
    metavar="PORT",
    type=click.IntRange(1, 65535),
    envvar="SAVS_METRICS_PORT",
    help="Serve metrics for Prometheus at this port, for example 9100; by default none. A port in "
    "use is an error [SAVS_METRICS_PORT].",
)

grace_option = click.option(
    "--grace-time",
    metavar="SECONDS",
    type=click.FloatRange(min=0.01),
    help="After SIGTERM, until a worker that is not done ends by force; by default 100, for spot instances, "
    "which are told 120 s before. With Kubernetes, less than terminationGracePeriodSeconds, for example "
    "--grace-time 25 [SAVS_GRACE_TIME, or savs.toml].",
)
limit_option = click.option(
    "--shard-time-limit",
    metavar="SECONDS",
    type=click.FloatRange(min=0.01),
    help="After which a shard hangs, and its process is killed; by default 3600 [SAVS_SHARD_TIME_LIMIT, "
    "or savs.toml].",
)


def reports_errors(command: Command) -> Command:
    """Prints savs' own errors as one message, and what is not installed: exit code 2 where the usage is
    wrong, else 1."""

    @wraps(command)
    def run(*args: Any, **kwargs: Any) -> Any:
        from jobs.settings import set_up_storage
        from savs.errors import ModelNotFound, SavsError, SettingsError

        try:
            set_up_storage()
            return command(*args, **kwargs)
        except SavsError as error:
            click.echo(f"savs-worker: {error}", err=True)
            sys.exit(2 if isinstance(error, (SettingsError, ModelNotFound)) else 1)
        except ModuleNotFoundError as error:
            package = (error.name or "").partition(".")[0]
            if package in ("", "savs", "jobs", "workers"):
                raise
            click.echo(
                f"savs-worker: a worker needs {package}; install savs with its models: "
                "pip install 'savs[worker]'",
                err=True,
            )
            sys.exit(1)

    return run  # type: ignore[return-value]


def gpu_list(_: click.Context, __: click.Parameter, value: str | None) -> str | None:
    """`value`, if it is `all` or a list of different GPUs, such as `0,1,3`."""
    if value is not None and value != "all":
        numbers = value.split(",") if GPUS.fullmatch(value) else []
        if not numbers or len(set(map(int, numbers))) < len(numbers):
            raise click.BadParameter(f"{value!r} is neither 'all' nor a list of different GPUs as in 0,1,3")
    return value

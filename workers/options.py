"""The options and error reporting of `savs-worker`. Imports nothing slow."""

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
    help="Redis of the pool, for example redis://localhost:6379/0 [SAVS_BROKER_URL, or savs.toml]. "
    "If it contains a password, use the variable: other users can see a command line.",
)
workspace_option = click.option(
    "--workspace",
    metavar="DIR",
    help="Folder or s3:// address that stores all results, for example s3://bucket/savs [SAVS_WORKSPACE, or "
    "savs.toml].",
)
roots_option = click.option(
    "--allowed-root",
    "roots",
    metavar="DIR",
    multiple=True,
    envvar="SAVS_ALLOWED_ROOTS",
    help="Folder or s3:// address below which the worker may read, in addition to the workspace, for "
    "example s3://bucket/media; repeatable [SAVS_ALLOWED_ROOTS, separated by spaces].",
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
    help="Skip the self-test, which checks at load time that an item's output does not depend on its batch.",
)
log_option = click.option(
    "--log-format",
    type=click.Choice(["text", "json"]),
    default="text",
    show_default=True,
    envvar="SAVS_LOG_FORMAT",
    help="Log lines of text, or one JSON object per line [SAVS_LOG_FORMAT].",
)
metrics_host_option = click.option(
    "--metrics-host",
    metavar="ADDRESS",
    default="127.0.0.1",
    show_default=True,
    envvar="SAVS_METRICS_HOST",
    help="Address of this machine at which metrics are served; 0.0.0.0 for all [SAVS_METRICS_HOST].",
)
metrics_option = click.option(
    "--metrics-port",
    metavar="PORT",
    type=click.IntRange(1, 65535),
    envvar="SAVS_METRICS_PORT",
    help="Serve metrics for Prometheus at this port, for example 9100; a port in use is an error. "
    "Default: no metrics [SAVS_METRICS_PORT].",
)

runtime_option = click.option(
    "--runtime-dir",
    metavar="DIR",
    envvar="SAVS_RUNTIME_DIR",
    help="Folder of this machine, best in memory, for the worker's signs of life, which `savs-worker health` "
    "reads; one per container. Default: savs in $XDG_RUNTIME_DIR, else savs-<user id> in the temp folder "
    "[SAVS_RUNTIME_DIR].",
)
idle_option = click.option(
    "--exit-when-idle",
    metavar="SECONDS",
    type=click.FloatRange(min=0.01),
    help="End, with exit code 0, after so long without work for this worker, neither on the queue nor to be "
    "expected from jobs under way. Default: never.",
)
grace_option = click.option(
    "--grace-time",
    metavar="SECONDS",
    type=click.FloatRange(min=0.01),
    help="Time from SIGTERM until a worker that is still busy ends by force. Default: 100 s, for spot "
    "instances, which are notified 120 s before. With Kubernetes, use less than "
    "terminationGracePeriodSeconds, for example 25 [SAVS_GRACE_TIME, or savs.toml].",
)
limit_option = click.option(
    "--shard-time-limit",
    metavar="SECONDS",
    type=click.FloatRange(min=0.01),
    help="Time after which a shard counts as hanging, and its process is killed. Default: 3600 s "
    "[SAVS_SHARD_TIME_LIMIT, or savs.toml].",
)


def reports_errors(command: Command) -> Command:
    """Prints errors of savs and missing packages as one message, with exit code 2 for wrong usage, else 1."""

    @wraps(command)
    def run(*args: Any, **kwargs: Any) -> Any:
        from jobs.settings import set_up_environment
        from savs.errors import ModelNotFound, SavsError, SettingsError

        try:
            set_up_environment()
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
    """Returns `value` if it is `all` or a list of different GPUs, such as `0,1,3`. Raises BadParameter."""
    if value is not None and value != "all":
        numbers = value.split(",") if GPUS.fullmatch(value) else []
        if not numbers or len(set(map(int, numbers))) < len(numbers):
            raise click.BadParameter(
                f"{value!r} is neither 'all' nor a list of different GPUs, for example 0,1,3"
            )
    return value

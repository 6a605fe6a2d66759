"""The `savs-worker` command. Imports are inside the commands, so that `--help` answers at once."""

import logging
import os
import sys
from collections.abc import Callable
from functools import partial, wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from workers.child import Loader
    from workers.logs import LogFormat
    from workers.settings import WorkerSettings

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


def reports_errors(command: Command) -> Command:
    """Prints savs' own errors as one message: exit code 2 where the usage is wrong, else 1."""

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

    return run  # type: ignore[return-value]


def gpu_list(_: click.Context, __: click.Parameter, value: str | None) -> str | None:
    """`value`, if it is `all` or a list of GPUs."""
    if value is not None and value != "all":
        from workers.gpus import is_list

        if not is_list(value):
            raise click.BadParameter(f"{value!r} is neither 'all' nor a list of different GPUs as in 0,1,3")
    return value


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="savs", prog_name="savs-worker")
def main() -> None:
    """Runs a pool's jobs: gpu workers label, cpu workers do the rest.

    \b
    savs-worker gpu --model qwen2.5_vl --broker redis://localhost --workspace results
    savs-worker cpu --broker redis://localhost --workspace results
    """


@main.command()
@click.option(
    "--model",
    metavar="MODEL",
    required=True,
    help="The one model that it loads: a folder, an alias or a hub id, for example qwen2.5_vl.",
)
@click.option(
    "--gpus",
    metavar="LIST",
    callback=gpu_list,
    help="Start one worker for each of these GPUs, for example 0,1,3 or all. Their metrics are at "
    "--metrics-port, the next port, and so on.",
)
@broker_option
@workspace_option
@roots_option
@http_option
@self_test_option
@log_option
@metrics_option
@reports_errors
def gpu(
    model: str,
    gpus: str | None,
    broker: str | None,
    workspace: str | None,
    roots: tuple[str, ...],
    allow_http: bool,
    skip_self_test: bool,
    log_format: "LogFormat",
    metrics_port: int | None,
) -> None:
    """Labels with one model, shard after shard.

    Example: savs-worker gpu --model qwen2.5_vl --gpus all
    """
    from jobs.broker import gpu_queue
    from jobs.settings import workspace_of
    from jobs.submitting import check_model, resolve_model
    from workers.loading import load
    from workers.settings import WorkerSettings

    check_model(model)
    name = resolve_model(model)
    settings = WorkerSettings(
        pool_broker(broker),
        workspace_of(workspace),
        gpu_queue(name),
        name,
        roots,
        allow_http,
        self_test=not skip_self_test,
        log_format=log_format,
        metrics_port=metrics_port,
    )
    if gpus is None:
        work(settings, partial(load, self_test=settings.self_test))
    else:
        work_on_gpus(settings, gpus)


@main.command()
@broker_option
@workspace_option
@roots_option
@log_option
@metrics_option
@reports_errors
def cpu(
    broker: str | None,
    workspace: str | None,
    roots: tuple[str, ...],
    log_format: "LogFormat",
    metrics_port: int | None,
) -> None:
    """Plans and reduces jobs, and puts back what was lost.

    Example: savs-worker cpu --metrics-port 9101
    """
    from jobs.broker import CPU_QUEUE
    from jobs.settings import workspace_of
    from workers.loading import load
    from workers.settings import WorkerSettings

    settings = WorkerSettings(
        pool_broker(broker),
        workspace_of(workspace),
        CPU_QUEUE,
        roots=roots,
        log_format=log_format,
        metrics_port=metrics_port,
    )
    work_and_sweep(settings, load)


def pool_broker(option: str | None) -> str:
    """The broker's address. Raises SettingsError where there is none, or it cannot be used."""
    from redis import Redis

    from jobs.settings import broker_of
    from savs.errors import SettingsError

    url = broker_of(option)
    if url is None:
        raise SettingsError("no broker: use --broker, SAVS_BROKER_URL, or savs.toml")
    try:
        Redis.from_url(url)  # connects to nothing yet
    except ValueError as error:  # whose words may hold a part of the password
        raise SettingsError(
            "--broker: its host or port cannot be read; in a password, write / as %2F and @ as %40"
        ) from error
    return url


def work_on_gpus(settings: "WorkerSettings", gpus: str) -> None:
    """Runs a worker for each GPU until all have ended."""
    from workers.gpus import chosen_gpus, run_on_gpus
    from workers.logs import set_up_logging

    set_up_logging(settings.log_format)
    sys.exit(run_on_gpus(settings, chosen_gpus(gpus, os.environ)))


def work_and_sweep(settings: "WorkerSettings", load: "Loader") -> None:
    """Runs a cpu worker, with the sweeper beside it, until it is told to stop."""
    from workers.sweeper import start_sweeper

    start_sweeper(settings)
    work(settings, load)


def work(settings: "WorkerSettings", load: "Loader") -> None:
    """Runs a worker until it is told to stop, and exits with 0, or 1 where it could not go on."""
    from jobs.broker import lanes
    from workers.app import make_app
    from workers.logs import set_up_logging

    set_up_logging(settings.log_format)
    with Path(os.devnull).open("wb") as nowhere:
        os.dup2(nowhere.fileno(), 1)  # where Celery says farewell, past all logging
    app = make_app(settings, load)
    worker = app.Worker(
        pool_cls="prefork",
        concurrency=1,
        queues=lanes(settings.queue),
        without_gossip=True,
        without_mingle=True,
        without_heartbeat=True,
        loglevel="WARNING",
        quiet=True,
    )
    worker.start()
    logging.getLogger("savs.worker").info("stopped")
    sys.exit(worker.exitcode or 0)


if __name__ == "__main__":
    main(prog_name="savs-worker")

"""The `savs-worker` command. Imports are inside the commands, so that `--help` answers at once."""

import logging
import os
import sys
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from workers.options import (
    broker_option,
    gpu_list,
    grace_option,
    http_option,
    idle_option,
    limit_option,
    log_option,
    metrics_host_option,
    metrics_option,
    reports_errors,
    roots_option,
    runtime_option,
    self_test_option,
    workspace_option,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from workers.child import Loader
    from workers.monitoring.logs import LogFormat
    from workers.settings import WorkerSettings
    from workers.sweeper import Sweeper


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="savs", prog_name="savs-worker")
def main() -> None:
    """Run the jobs of a pool: GPU workers run shards, cpu workers plan, reduce and sweep.

    \b
        savs-worker gpu --model qwen2.5_vl --broker redis://localhost --workspace results
        savs-worker cpu --broker redis://localhost --workspace results
    """


@main.command()
@click.option(
    "--model",
    metavar="MODEL",
    required=True,
    help="Model to load: a folder, an alias (demo, llava_ov, …) or a hub id.",
)
@click.option(
    "--gpus",
    metavar="LIST",
    callback=gpu_list,
    help="Start one worker for each of these GPUs, for example 0,1,3 or all; their metrics are at "
    "--metrics-port, the next port, and so on. Default: one worker.",
)
@broker_option
@workspace_option
@roots_option
@http_option
@self_test_option
@grace_option
@limit_option
@log_option
@metrics_option
@metrics_host_option
@runtime_option
@idle_option
@reports_errors
def gpu(
    model: str,
    gpus: str | None,
    broker: str | None,
    workspace: str | None,
    roots: tuple[str, ...],
    allow_http: bool,
    skip_self_test: bool,
    grace_time: float | None,
    shard_time_limit: float | None,
    log_format: "LogFormat",
    metrics_port: int | None,
    metrics_host: str,
    runtime_dir: str | None,
    exit_when_idle: float | None,
) -> None:
    """Run shards with one model, one after another.

    Example: savs-worker gpu --model qwen2.5_vl --gpus all
    """
    from jobs.queue.timeouts import read_timeouts
    from jobs.records.message import gpu_queue
    from jobs.settings import log_level_of, workspace_of
    from jobs.submit.checks import check_model
    from jobs.submit.submission import resolve_model
    from workers.gpus import chosen_gpus
    from workers.model import load
    from workers.settings import WorkerSettings

    name = resolve_model(model)
    settings = WorkerSettings(
        pool_broker(broker),
        workspace_of(workspace),
        gpu_queue(name),
        name,
        roots,
        allow_http,
        self_test=not skip_self_test,
        times=read_timeouts(shard_time_limit, grace_time),
        log_format=log_format,
        log_level=log_level_of(),
        metrics_port=metrics_port,
        metrics_host=metrics_host,
        runtime_dir=runtime_dir,
        exit_when_idle=exit_when_idle,
    )
    with noting_why(settings):
        check_model(model)
        chosen = None if gpus is None else chosen_gpus(gpus, os.environ)
    if chosen is None:
        work(settings, partial(load, self_test=settings.self_test))
    else:
        work_on_gpus(settings, chosen)


@main.command()
@broker_option
@workspace_option
@roots_option
@grace_option
@limit_option
@log_option
@metrics_option
@metrics_host_option
@runtime_option
@idle_option
@reports_errors
def cpu(
    broker: str | None,
    workspace: str | None,
    roots: tuple[str, ...],
    grace_time: float | None,
    shard_time_limit: float | None,
    log_format: "LogFormat",
    metrics_port: int | None,
    metrics_host: str,
    runtime_dir: str | None,
    exit_when_idle: float | None,
) -> None:
    """Plan and reduce jobs, and requeue lost units.

    Example: savs-worker cpu --metrics-port 9101
    """
    from jobs.queue.timeouts import read_timeouts
    from jobs.records.message import CPU_QUEUE
    from jobs.settings import log_level_of, workspace_of
    from workers.model import load
    from workers.settings import WorkerSettings

    settings = WorkerSettings(
        pool_broker(broker),
        workspace_of(workspace),
        CPU_QUEUE,
        roots=roots,
        times=read_timeouts(shard_time_limit, grace_time),
        log_format=log_format,
        log_level=log_level_of(),
        metrics_port=metrics_port,
        metrics_host=metrics_host,
        runtime_dir=runtime_dir,
        exit_when_idle=exit_when_idle,
    )
    work_and_sweep(settings, load)


@main.command()
@runtime_option
def health(runtime_dir: str | None) -> None:
    """Check that the workers of this machine give signs of life.

    Exit code 0 if at least one is running and none hangs, else 1, with the reason on standard error.
    Loading a model, working, stopping and waiting while Redis is away are healthy. Asks neither Redis nor
    the workers.

    Example: savs-worker health
    """
    from workers.monitoring.health import workers_here
    from workers.monitoring.signs import runtime_folder

    folder = runtime_folder(runtime_dir)
    found = list(workers_here(folder))
    if not found:
        click.echo(
            f"savs-worker: no running worker has files in {folder}; if one runs with another folder, give "
            "it: --runtime-dir",
            err=True,
        )
    for one in found:
        wrong = one.problem is not None
        click.echo(f"worker {one.pid} of {one.queue}: {one.problem if wrong else one.state}", err=wrong)
    sys.exit(0 if found and not any(one.problem for one in found) else 1)


def pool_broker(option: str | None) -> str:
    """The broker's address. Raises SettingsError if none is set, or if it cannot be used."""
    from redis import Redis

    from jobs.settings import broker_of
    from savs.errors import SettingsError

    url = broker_of(option)
    if url is None:
        raise SettingsError("no broker: use --broker, SAVS_BROKER_URL, or savs.toml")
    try:
        Redis.from_url(url)  # does not connect
    except ValueError as error:  # its message may contain a part of the password
        raise SettingsError(
            "--broker: its host or port cannot be read; in a password, write / as %2F and @ as %40"
        ) from error
    return url


@contextmanager
def noting_why(settings: "WorkerSettings") -> "Iterator[None]":
    """Tells the pool why the worker cannot start, if the block raises an error of savs."""
    from savs.errors import SavsError
    from workers.failed_start import note

    try:
        yield
    except SavsError as error:
        note(settings, str(error))
        raise


def work_on_gpus(settings: "WorkerSettings", gpus: "list[str]") -> None:
    """Runs a worker for each GPU until all have ended."""
    from workers.gpus import run_on_gpus
    from workers.monitoring.logs import set_up_logging

    set_up_logging(settings.log_format, settings.log_level)
    sys.exit(run_on_gpus(settings, gpus))


def work_and_sweep(settings: "WorkerSettings", load: "Loader") -> None:
    """Runs a cpu worker and its sweeper until it is stopped."""
    from workers.sweeper import Sweeper

    work(settings, load, Sweeper(settings))


def work(settings: "WorkerSettings", load: "Loader", sweeper: "Sweeper | None" = None) -> None:
    """Runs a worker until it is stopped, and exits with 0, or 1 if it could not continue."""
    from jobs.queue.broker import lanes
    from workers.app import make_app
    from workers.monitoring.logs import set_up_logging
    from workers.monitoring.signs import WorkerSigns, runtime_folder

    set_up_logging(settings.log_format, settings.log_level)
    signs = WorkerSigns(runtime_folder(settings.runtime_dir), settings.queue)
    signs.begin()
    try:
        with Path(os.devnull).open("wb") as nowhere:
            os.dup2(nowhere.fileno(), 1)  # Celery prints to standard output at its end, not to the log
        app = make_app(settings, load, signs, sweeper)
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
    finally:
        signs.end()
    logging.getLogger("savs.worker").info("stopped")
    sys.exit(worker.exitcode or 0)


if __name__ == "__main__":
    main(prog_name="savs-worker")

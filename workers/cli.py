"""The `savs-worker` command."""

import logging
import sys
import threading
from contextlib import suppress
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from collections.abc import Callable

    from workers.child import Loader
    from workers.settings import WorkerSettings

broker_option = click.option(
    "--broker", envvar="SAVS_BROKER_URL", required=True, help="redis://… [SAVS_BROKER_URL]."
)
workspace_option = click.option(
    "--workspace", envvar="SAVS_WORKSPACE", required=True, help="Folder or s3:// [SAVS_WORKSPACE]."
)
roots_option = click.option(
    "--allowed-root",
    "roots",
    multiple=True,
    envvar="SAVS_ALLOWED_ROOTS",
    help="Folder or s3:// address below which it may read, besides the workspace; may be repeated "
    "[SAVS_ALLOWED_ROOTS, separated by blanks].",
)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """Runs the jobs of a pool: GPU workers, and cpu workers that reduce and sweep."""


@main.command()
@click.option("--model", required=True, help="The one model that this worker loads.")
@broker_option
@workspace_option
@roots_option
def gpu(model: str, broker: str, workspace: str, roots: tuple[str, ...]) -> None:
    """Reads out one model's heads, shard after shard.

    Example: savs-worker gpu --model qwen2.5_vl
    """
    from jobs.broker import gpu_queue
    from jobs.running import load
    from jobs.submitting import resolve_model
    from workers.settings import WorkerSettings

    name = resolve_model(model)
    work(WorkerSettings(broker, workspace, gpu_queue(name), name, roots), load)


@main.command()
@broker_option
@workspace_option
def cpu(broker: str, workspace: str) -> None:
    """Reduces finished jobs, starts those that wait, and puts back what was lost.

    Example: savs-worker cpu
    """
    from jobs.broker import CPU_QUEUE
    from jobs.running import load
    from workers.settings import WorkerSettings

    work_and_sweep(WorkerSettings(broker, workspace, CPU_QUEUE), load)


def work_and_sweep(settings: "WorkerSettings", load: "Loader") -> None:
    """Runs a cpu worker, with the sweeper beside it, until it is told to stop."""
    start_thread(keep_sweeping, settings)
    work(settings, load)


def start_thread(work: "Callable[[WorkerSettings], None]", settings: "WorkerSettings") -> None:
    """Runs `work` beside the worker, for as long as it lives."""
    threading.Thread(target=work, args=(settings,), name=work.__name__, daemon=True).start()


def keep_showing_life(settings: "WorkerSettings") -> None:
    """Lets commands see that this worker serves its queue."""
    import uuid

    from redis.exceptions import RedisError

    from jobs.broker import WORKER_LIFE, Broker
    from workers.settings import SOCKET_TIMEOUT

    broker, me, pause = Broker(settings.broker_url, SOCKET_TIMEOUT), uuid.uuid4().hex, threading.Event()
    while True:
        with suppress(RedisError):  # seen again when Redis is back
            broker.show_life(settings.queue, me)
        pause.wait(WORKER_LIFE / 3)


def work(settings: "WorkerSettings", load: "Loader") -> None:
    """Runs a worker until it is told to stop."""
    from workers.app import make_app

    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s", stream=sys.stderr)
    logging.getLogger("celery").setLevel(logging.WARNING)
    app = make_app(settings, load, lambda: start_thread(keep_showing_life, settings))
    app.worker_main(
        [
            "worker",
            "--pool=prefork",
            "--concurrency=1",
            f"--queues={settings.queue}",
            "--without-gossip",
            "--without-mingle",
            "--without-heartbeat",
            "--loglevel=WARNING",
        ]
    )


def keep_sweeping(settings: "WorkerSettings") -> None:
    """Sweeps every `times.sweep` seconds, unless another cpu worker does."""
    import uuid

    from redis.exceptions import RedisError

    from jobs.broker import Broker
    from jobs.ledger import Ledger
    from jobs.sweeping import sweep
    from savs.errors import SavsError
    from workers.settings import SOCKET_TIMEOUT

    log = logging.getLogger("savs.sweeper")
    ledger, broker = Ledger(settings.workspace), Broker(settings.broker_url, SOCKET_TIMEOUT)
    me, lease = uuid.uuid4().hex, int(settings.times.sweep * 2000)
    pause = threading.Event()
    while True:
        try:
            leader = broker.redis.set("savs:watcher", me, nx=True, px=lease)
            if leader or broker.redis.get("savs:watcher") == me.encode():
                broker.redis.pexpire("savs:watcher", lease)
                sweep(ledger, broker, settings.times)
        except (SavsError, RedisError) as error:
            log.warning("sweep failed, and will be repeated: %s", error)
        pause.wait(settings.times.sweep)


if __name__ == "__main__":
    main()

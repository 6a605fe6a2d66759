"""The `savs-worker` command."""

import logging
import sys
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
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
    from workers.sweeper import start_sweeper

    start_sweeper(settings)
    work(settings, load)


def work(settings: "WorkerSettings", load: "Loader") -> None:
    """Runs a worker until it is told to stop."""
    from jobs.broker import lanes
    from workers.app import make_app

    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s", stream=sys.stderr)
    logging.getLogger("celery").setLevel(logging.WARNING)
    app = make_app(settings, load)
    app.worker_main(
        [
            "worker",
            "--pool=prefork",
            "--concurrency=1",
            f"--queues={','.join(lanes(settings.queue))}",
            "--without-gossip",
            "--without-mingle",
            "--without-heartbeat",
            "--loglevel=WARNING",
        ]
    )


if __name__ == "__main__":
    main()

"""The Celery app of a worker: its tasks, each a few lines around a function of `jobs`, and signals."""

import logging
import os
import sys
from typing import Any

from celery import Celery, bootsteps
from celery.signals import setup_logging, worker_process_init, worker_shutting_down
from pydantic import TypeAdapter

from jobs.messages import Message, PlanJob, ReduceJob, RunShard
from workers.child import Child, Loader, Shared
from workers.settings import WorkerSettings, celery_settings

log = logging.getLogger("savs.worker")
MESSAGES: TypeAdapter[Message] = TypeAdapter(Message)
POLL = 0.2  # seconds between looks at a child that is loading


def make_app(settings: WorkerSettings, load: Loader) -> Celery:
    """An app whose children load the settings' model with `load` before they take a task.

    The process that calls this forks children at any time later, so it must have no other threads.
    """
    app = Celery("savs", broker=settings.broker_url)
    app.conf.update(celery_settings(settings))
    shared = Shared.make()
    child: list[Child] = []

    @setup_logging.connect(weak=False)
    def keep_our_logging(**_: Any) -> None:
        """Being there is enough: Celery then leaves logging as `savs-worker` has set it up."""

    @worker_process_init.connect(weak=False)
    def start_child(**_: Any) -> None:
        try:
            child[:] = [Child(settings, shared, load)]
        except BaseException as error:
            shared.failures.put(f"{type(error).__name__}: {error}")
            os._exit(1)

    @worker_shutting_down.connect(weak=False)
    def leave_between_batches(**_: Any) -> None:
        shared.stopping.set()

    class WaitForModel(bootsteps.StartStopStep):
        """Holds the consumer back until a child has its model, and ends the worker if none can."""

        requires = ("celery.worker.components:Pool",)

        def start(self, parent: Any) -> None:
            while not shared.ready.wait(POLL):
                if not shared.failures.empty():
                    sys.stderr.write(f"savs-worker: {shared.failures.get()}\n")
                    sys.stderr.flush()
                    os._exit(1)
            log.info("ready, queue %s", settings.queue)

    app.steps["worker"].add(WaitForModel)

    @app.task(name="classify_shard")
    def classify_shard(message: dict[str, Any]) -> None:
        _run_shard(child[0], message)

    @app.task(name="extract_savs")
    def extract_savs(message: dict[str, Any]) -> None:
        _run_shard(child[0], message)

    @app.task(name="plan_job")
    def plan_job(message: dict[str, Any]) -> None:
        _advance(child[0], message)

    @app.task(name="reduce_job")
    def reduce_job(message: dict[str, Any]) -> None:
        _advance(child[0], message)

    return app


def _run_shard(child: Child, message: dict[str, Any]) -> None:
    parsed = MESSAGES.validate_python(message)
    assert isinstance(parsed, RunShard)
    attempt = child.run_shard(parsed)
    log.info("job %s shard %s epoch %s: %s", parsed.job_id, parsed.unit, parsed.epoch, attempt.word)


def _advance(child: Child, message: dict[str, Any]) -> None:
    parsed = MESSAGES.validate_python(message)
    assert isinstance(parsed, PlanJob | ReduceJob)
    log.info("job %s %s epoch %s: %s", parsed.job_id, parsed.unit, parsed.epoch, child.advance(parsed))

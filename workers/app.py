"""The Celery app of a worker: its tasks, each a few lines around a function of `jobs`, and signals."""

import logging
import os
from collections.abc import Callable
from typing import Any

from celery import Celery, bootsteps
from celery.exceptions import WorkerTerminate
from celery.signals import setup_logging, worker_process_init, worker_shutting_down
from celery.worker import state
from redis.exceptions import RedisError

from jobs.messages import PlanJob, ReduceJob, RunShard
from savs.errors import SavsError
from workers.child import Child, Loader, Shared
from workers.logs import all_about
from workers.refusing import Kind, accepted
from workers.settings import WorkerSettings, celery_settings

log = logging.getLogger("savs.worker")
POLL = 0.2  # seconds between looks at a child that is loading
WATCH = 1.0  # seconds between looks at children later on


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
        if shared.failed.is_set():
            os._exit(1)  # the worker is about to end
        try:
            child[:] = [Child(settings, shared, load)]
        except BaseException as error:
            log.error("cannot start: %s", error, exc_info=not isinstance(error, SavsError))
            shared.failed.set()
            os._exit(1)

    @worker_shutting_down.connect(weak=False)
    def leave_between_batches(**_: Any) -> None:
        shared.stopping.set()

    class WaitForModel(bootsteps.StartStopStep):
        """Holds the consumer back until a child has its model, and ends the worker if none can, be
        it the first or one that takes a killed one's place: Celery would start it again for ever."""

        requires = ("celery.worker.components:Pool",)

        def start(self, parent: Any) -> None:
            while not shared.ready.wait(POLL):
                self.end_if_failed(parent)
                if state.should_stop is not None or state.should_terminate is not None:
                    raise WorkerTerminate  # nothing is begun, and loading may take minutes
            log.info("ready, queue %s", settings.queue)

        def register_with_event_loop(self, parent: Any, hub: Any) -> None:
            hub.call_repeatedly(WATCH, self.end_if_failed, parent)

        def end_if_failed(self, parent: Any) -> None:
            if shared.failed.is_set():
                parent.exitcode = 1
                raise WorkerTerminate

    app.steps["worker"].add(WaitForModel)

    @app.task(name="classify_shard")
    def classify_shard(*arguments: Any, **_: Any) -> None:
        serve(RunShard, arguments, lambda message: child[0].run_shard(message))

    @app.task(name="extract_savs")
    def extract_savs(*arguments: Any, **_: Any) -> None:
        serve(RunShard, arguments, lambda message: child[0].run_shard(message))

    @app.task(name="plan_job")
    def plan_job(*arguments: Any, **_: Any) -> None:
        serve(PlanJob, arguments, lambda message: child[0].advance(message))

    @app.task(name="reduce_job")
    def reduce_job(*arguments: Any, **_: Any) -> None:
        serve(ReduceJob, arguments, lambda message: child[0].advance(message))

    return app


def serve(kind: type[Kind], arguments: tuple[Any, ...], work: Callable[[Kind], None]) -> None:
    """Does the work that a task's message asks for. What fails is left to the sweep."""
    message = accepted(kind, arguments)
    if message is None:
        return
    with all_about(message):
        try:
            work(message)
        except (SavsError, RedisError) as error:
            log.warning("left to the sweep: %s", error)
        except Exception:
            log.exception("left to the sweep")

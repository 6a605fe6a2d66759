"""The Celery app of a worker: its tasks, boot steps and signal handlers. The work is done in `jobs`."""

import logging
import os
import signal
import time
from collections.abc import Callable
from typing import Any

from celery import Celery, bootsteps
from celery.exceptions import WorkerShutdown, WorkerTerminate
from celery.signals import (
    setup_logging,
    task_failure,
    worker_process_init,
    worker_process_shutdown,
    worker_shutting_down,
)
from celery.worker import state
from redis.exceptions import RedisError

from jobs.records.message import Message
from savs.errors import JobError, SavsError
from workers.child import Child, Loader
from workers.failed_start import note
from workers.flags import Flags
from workers.messages.envelope import message_of
from workers.messages.release import release, why_lost
from workers.monitoring.logs import all_about
from workers.monitoring.signs import WorkerSigns
from workers.settings import WorkerSettings, celery_settings
from workers.shutdown import Shutdown
from workers.sweeper import Sweeper

log = logging.getLogger("savs.worker")
POLL = 0.2  # seconds between two checks of a child that is loading
WATCH = 1.0  # seconds between two later checks of children, and of the sweeper


def make_app(
    settings: WorkerSettings, load: Loader, signs: WorkerSigns, sweeper: Sweeper | None = None
) -> Celery:
    """Returns an app whose children load the settings' model with `load` before they take a task.

    The process that calls this may fork children at any time, so it must have no other threads. It
    supervises `sweeper`, if given.
    """
    app = Celery("savs", broker=settings.broker_url)
    app.conf.update(celery_settings(settings))
    shared, parent = Flags(), os.getpid()
    leaving = Shutdown(settings, shared, signs)
    child: list[Child] = []

    @setup_logging.connect(weak=False)
    def keep_our_logging(**_: Any) -> None:
        """Does nothing: with a receiver for this signal, Celery does not set up logging itself."""

    @worker_process_init.connect(weak=False)
    def start_child(**_: Any) -> None:
        if shared.failed.is_set():
            os._exit(1)  # the worker is about to end
        try:
            if shared.loading.is_set():
                raise JobError("its process was killed while it loaded the model")
            shared.loading.set()
            child[:] = [Child(settings, shared, load, signs)]
            # Sent to a whole process group (systemd, Procfile runners), they are for the parent, which tells
            # this process. Before the model is loaded they end it: it has no shard yet.
            for name in (signal.SIGTERM, signal.SIGHUP):
                signal.signal(name, signal.SIG_IGN)
        except BaseException as error:
            log.error("cannot start: %s", _sentence(error))
            log.debug("traceback", exc_info=True)
            note(settings, _sentence(error))
            shared.failed.set()
            os._exit(1)

    @worker_process_shutdown.connect(weak=False)
    def end_child(**_: Any) -> None:
        for one in child:
            one.end()

    @worker_shutting_down.connect(weak=False)
    def leave_between_batches(how: str, **_: Any) -> None:
        if how == "Cold":
            leaving.end("it was told to end at once")
        leaving.begin()

    @task_failure.connect(weak=False)
    def take_back_what_a_lost_process_had(exception: BaseException, args: Any, **_: Any) -> None:
        if os.getpid() == parent and (why := why_lost(exception)) is not None:
            release(settings, args, why)

    class WaitForModel(bootsteps.StartStopStep):
        """Delays the consumer until a child has its model. Ends the worker if a child cannot start, also
        one that replaces a killed child: Celery would restart it for ever."""

        requires = ("celery.worker.components:Pool",)

        def start(self, parent: Any) -> None:
            # Celery's own handler replaces this process, and would leave its sweeper behind.
            signal.signal(signal.SIGHUP, lambda *_: signal.raise_signal(signal.SIGTERM))
            while not shared.ready.wait(POLL):
                self.end_if_failed(parent)
                if state.should_stop is not None or state.should_terminate is not None:
                    raise WorkerTerminate  # no shard has started, and loading may take minutes
                self.fail_if_killed(parent)
            log.info("ready, queue %s", settings.queue)

        def register_with_event_loop(self, parent: Any, hub: Any) -> None:
            hub.call_repeatedly(WATCH, self.end_if_failed, parent)

        def fail_if_killed(self, parent: Any) -> None:
            """Fails if the child was killed while it loads, as happens when memory runs out: Celery itself
            notices only later, when its event loop runs."""
            codes = [process.exitcode for process in parent.pool._pool._pool]
            killed = [code for code in codes if code is not None and code < 0]
            if not killed or shared.failed.is_set():
                return
            time.sleep(POLL)  # a signal to the whole group tells this process, too
            if state.should_stop is None and state.should_terminate is None:
                name = signal.Signals(-killed[0]).name
                why = f"its process was killed while it loaded the model, by {name}"
                log.error("cannot start: %s", why)
                note(settings, why)
                shared.failed.set()

        def end_if_failed(self, parent: Any) -> None:
            if shared.failed.is_set():
                parent.exitcode = 1
                raise WorkerTerminate

    class KeepSweeper(bootsteps.StartStopStep):
        """Restarts the sweeper when it ends; after too many restarts, ends the worker between two batches."""

        requires = ("celery.worker.components:Pool",)

        def register_with_event_loop(self, parent: Any, hub: Any) -> None:
            hub.call_repeatedly(WATCH, self.look)

        def look(self) -> None:
            if sweeper is not None and not leaving.told and not sweeper.keep():
                leaving.begin()
                raise WorkerShutdown(1)

    class LeaveWhenIdle(bootsteps.StartStopStep):
        """Ends the worker as after SIGTERM once its child finds that it has had no work for long."""

        requires = ("celery.worker.components:Pool",)

        def register_with_event_loop(self, parent: Any, hub: Any) -> None:
            hub.call_repeatedly(WATCH, self.look)

        def look(self) -> None:
            if shared.idle.is_set() and not leaving.told:
                leaving.begin()
                raise WorkerShutdown(0)

    app.steps["worker"].add(WaitForModel)
    app.steps["worker"].add(LeaveWhenIdle)
    app.steps["worker"].add(KeepSweeper)

    @app.task(name="classify_shard")
    def classify_shard(*arguments: Any, **_: Any) -> None:
        serve(arguments, lambda message: child[0].run(message))

    @app.task(name="extract_savs")
    def extract_savs(*arguments: Any, **_: Any) -> None:
        serve(arguments, lambda message: child[0].run(message))

    @app.task(name="plan_job")
    def plan_job(*arguments: Any, **_: Any) -> None:
        serve(arguments, lambda message: child[0].run(message))

    @app.task(name="reduce_job")
    def reduce_job(*arguments: Any, **_: Any) -> None:
        serve(arguments, lambda message: child[0].run(message))

    return app


def serve(arguments: tuple[Any, ...], work: Callable[[Message], None]) -> None:
    """Runs `work` with a task's message. If it fails, the unit is left to the sweep."""
    message = message_of(arguments)
    if message is None:  # `workers.messages.transport` lets none of these through
        return
    with all_about(message):
        try:
            work(message)
        except (SavsError, RedisError) as error:
            log.warning("left to the sweep: %s", error)
        except Exception:
            log.exception("left to the sweep")


def _sentence(error: BaseException) -> str:
    """The error in one line; errors that are not from savs with their type."""
    return str(error) if isinstance(error, SavsError) else f"{type(error).__name__}: {error}"

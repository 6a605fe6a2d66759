"""How a worker ends that is told to stop: between two batches, and by force once its grace time is over.

The parent then waits for its child in Celery's code, so what ends it is an alarm: it runs in the main
thread, wherever that is, and needs no other.
"""

import logging
import multiprocessing
import os
import signal
from contextlib import suppress

import billiard
from celery.worker import state

from workers.flags import Flags
from workers.release import release
from workers.settings import WorkerSettings

log = logging.getLogger("savs.worker")


class Shutdown:
    """What a parent does when it is told to stop, by whatever signal and how often ever."""

    def __init__(self, settings: WorkerSettings, shared: Flags) -> None:
        self.settings, self.shared = settings, shared
        self.told = False

    def begin(self) -> None:
        """Tells the children, and sets the alarm."""
        if self.told:
            return
        self.told = True
        self.shared.stopping.set()
        signal.signal(signal.SIGALRM, lambda *_: self.end())
        signal.setitimer(signal.ITIMER_REAL, self.settings.times.grace)

    def end(self) -> None:
        """Kills what is left of the worker, and gives back what it had. Does not return."""
        grace = self.settings.times.grace
        log.warning("told to stop %g s ago (SAVS_GRACE_TIME), and still at work: ends now", grace)
        for child in billiard.active_children():
            with suppress(ProcessLookupError):
                os.kill(child.pid, signal.SIGKILL)
        for request in tuple(state.active_requests | state.reserved_requests):
            release(
                self.settings, request.args, f"its worker's grace time of {grace:g} s was over", refund=True
            )
        for process in multiprocessing.active_children():  # the sweeper
            process.kill()
        os._exit(0)  # as all workers that end because they were told to

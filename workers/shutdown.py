"""Stops a worker: between two batches, or by force after its grace time.

The parent waits for its child inside Celery's code, so an alarm signal ends it: the handler runs in the
main thread, whatever that is doing, and needs no other thread.
"""

import logging
import multiprocessing
import os
import signal
from contextlib import suppress

import billiard
from celery.worker import state

from workers.flags import Flags
from workers.messages.release import release
from workers.monitoring.signs import WorkerSigns
from workers.settings import WorkerSettings

log = logging.getLogger("savs.worker")


class Shutdown:
    """The shutdown of a parent process, by whichever signal, and however often it is sent."""

    def __init__(self, settings: WorkerSettings, shared: Flags, signs: WorkerSigns) -> None:
        self.settings, self.shared, self.signs = settings, shared, signs
        self.told = False

    def begin(self) -> None:
        """Sets the flag that children check between batches, and sets the alarm. Further calls do nothing."""
        if self.told:
            return
        self.told = True
        self.shared.stopping.set()
        self.signs.stopping(self.settings.times.grace)
        signal.signal(signal.SIGALRM, lambda *_: self._end_late())
        signal.setitimer(signal.ITIMER_REAL, self.settings.times.grace)

    def _end_late(self) -> None:
        grace = self.settings.times.grace
        log.warning("still busy after the grace time of %g s (SAVS_GRACE_TIME): ends by force", grace)
        self.end(f"its worker's grace time of {grace:g} s was over")

    def end(self, why: str) -> None:
        """Kills the worker's remaining processes, and requeues their units. Does not return."""
        for child in billiard.active_children():
            with suppress(ProcessLookupError):
                os.kill(child.pid, signal.SIGKILL)
        for request in tuple(state.active_requests | state.reserved_requests):
            release(self.settings, request.args, why, refund=True)
        for process in multiprocessing.active_children():  # the sweeper
            process.kill()
        self.signs.end()
        os._exit(0)  # as for every worker that is stopped

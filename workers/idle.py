"""Ends a worker that has had no work for long (`--exit-when-idle`): machines that cost by the hour go away.

The child asks, in a thread, since asking may take long; the parent, which has no threads, ends the worker as
after SIGTERM. A job that is submitted at that moment stays on the board and in its lane, for other workers.
"""

import logging
import threading
import time

from redis.exceptions import RedisError

from jobs.run.attempt import Worker
from jobs.run.demand import is_wanted_later, is_wanted_now
from savs.errors import SavsError
from workers.flags import Flag

ASK_EVERY = 10.0  # seconds, at most

log = logging.getLogger("savs.worker")


def watch_for_work(worker: Worker, patience: float, idle: Flag) -> None:
    """Sets `idle` once there has been no work for `patience` seconds. A time in which Redis or the workspace
    does not answer does not count."""
    pause, since = threading.Event(), time.monotonic()
    while time.monotonic() - since < patience:
        pause.wait(min(patience / 3, ASK_EVERY))
        if _is_wanted(worker):
            since = time.monotonic()
    log.info("no work for %g s (--exit-when-idle): ends", patience)
    idle.set()


def _is_wanted(worker: Worker) -> bool:
    try:
        return is_wanted_now(worker.broker, worker.queue) or is_wanted_later(worker.ledger, worker.queue)
    except (RedisError, SavsError) as error:
        log.warning("cannot tell whether there is work: %s", error)
        return True

"""The sweeper of a cpu worker: a separate process, next to the one that forks children.

It must not be a thread of that process: if a child is forked while another thread holds a lock, the lock
stays locked in the child for ever. (Observed: `functools.cached_property` of Python 3.11 has one lock per
class, and a reducer waited for it for ever.)
"""

import logging
import multiprocessing
import os
import threading
import time
import uuid

from redis.exceptions import RedisError

from jobs.ledger.ledger import Ledger
from jobs.queue.broker import Broker
from jobs.run.sweep import sweep
from savs.errors import SavsError
from workers.monitoring.logs import set_up_logging
from workers.settings import SOCKET_TIMEOUT, WorkerSettings

LEADER = "savs:watcher"
LONGEST_LEASE = 60_000  # milliseconds, by default
NO_END = -1  # Redis's answer for a key that does not expire
RESTARTS = 3  # of the sweeper within RESTARTS_WITHIN, before its worker ends
RESTARTS_WITHIN = 600.0  # seconds

log = logging.getLogger("savs.sweeper")


class Sweeper:
    """The handle of the sweeper's process in its worker. The process ends with the worker."""

    def __init__(self, settings: WorkerSettings) -> None:
        self.settings = settings
        self.restarts: list[float] = []
        self.process = self._start()

    def _start(self) -> multiprocessing.process.BaseProcess:
        process = multiprocessing.get_context("spawn").Process(
            target=keep_sweeping, args=(self.settings, os.getpid()), name="sweeper", daemon=True
        )
        process.start()
        return process

    def keep(self) -> bool:
        """Restarts the process if it has ended. Returns False if it has ended too often: without a sweeper
        lost units are not requeued, so the worker must end visibly."""
        if self.process.is_alive():
            return True
        now = time.monotonic()
        self.restarts = [at for at in self.restarts if at > now - RESTARTS_WITHIN]
        ended = f"the sweeper ended with exit code {self.process.exitcode}"
        if len(self.restarts) == RESTARTS:
            log.error("%s too often; this worker ends too", ended)
            return False
        log.error("%s and is restarted", ended)
        self.restarts.append(now)
        self.process = self._start()
        return True


def leads(broker: Broker, me: str, lease: int) -> bool:
    """Returns whether `me` is the one that sweeps for the next `lease` milliseconds."""
    left, kind = broker.redis.pttl(LEADER), broker.redis.type(LEADER)
    if left == NO_END or left > max(LONGEST_LEASE, 2 * lease) or kind not in (b"string", b"none"):
        broker.redis.delete(LEADER)  # not written by a sweeper
    if broker.redis.set(LEADER, me, nx=True, px=lease):
        return True
    if broker.redis.get(LEADER) != me.encode():
        return False
    broker.redis.pexpire(LEADER, lease)
    return True


def keep_sweeping(settings: WorkerSettings, parent: int) -> None:
    """Sweeps every `times.sweep` seconds while `parent` is running, unless another sweeper does."""
    set_up_logging(settings.log_format, settings.log_level)  # a fresh interpreter
    ledger, broker = Ledger(settings.workspace), Broker(settings.broker_url, SOCKET_TIMEOUT)
    me, lease = uuid.uuid4().hex, max(1, int(settings.times.sweep * 2000))  # milliseconds
    pause = threading.Event()
    while os.getppid() == parent:
        try:
            if leads(broker, me, lease):
                sweep(ledger, broker, settings.times)
        except (SavsError, RedisError) as error:
            log.warning("sweep failed, will be repeated: %s", error)
        except Exception:  # the next sweep may succeed, and no other process sweeps
            log.exception("sweep failed, will be repeated")
        pause.wait(settings.times.sweep)

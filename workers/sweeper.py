"""The sweeper of a cpu worker: a process of its own, beside the one that forks children.

It must not be a thread of that one: a child that is forked while another thread holds a lock finds
the lock taken for ever. (Seen: `functools.cached_property` of Python 3.11 has one lock per class, and
a reducer waited for it without end.)
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
from workers.logs import set_up_logging
from workers.settings import SOCKET_TIMEOUT, WorkerSettings

LEADER = "savs:watcher"
RESTARTS = 3  # of the sweeper within RESTARTS_WITHIN, before its worker gives up
RESTARTS_WITHIN = 600.0  # seconds

log = logging.getLogger("savs.sweeper")


class Sweeper:
    """The sweeper's process, as its worker sees it. It ends with the worker."""

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
        """Starts it again if it has ended. False where that has happened too often: nothing that is lost
        would be put back any more, and whoever looks after the machine must know."""
        if self.process.is_alive():
            return True
        now = time.monotonic()
        self.restarts = [at for at in self.restarts if at > now - RESTARTS_WITHIN]
        ended = f"the sweeper has ended with exit code {self.process.exitcode}"
        if len(self.restarts) == RESTARTS:
            log.error("%s, once more; so does its worker", ended)
            return False
        log.error("%s, and is started again", ended)
        self.restarts.append(now)
        self.process = self._start()
        return True


def keep_sweeping(settings: WorkerSettings, parent: int) -> None:
    """Sweeps every `times.sweep` seconds for as long as `parent` lives, unless another sweeper does."""
    set_up_logging(settings.log_format, settings.log_level)  # a fresh interpreter
    ledger, broker = Ledger(settings.workspace), Broker(settings.broker_url, SOCKET_TIMEOUT)
    me, lease = uuid.uuid4().hex, max(1, int(settings.times.sweep * 2000))  # milliseconds
    pause = threading.Event()
    while os.getppid() == parent:
        try:
            leads = broker.redis.set(LEADER, me, nx=True, px=lease)
            if leads or broker.redis.get(LEADER) == me.encode():
                broker.redis.pexpire(LEADER, lease)
                sweep(ledger, broker, settings.times)
        except (SavsError, RedisError) as error:
            log.warning("sweep failed, and will be repeated: %s", error)
        except Exception:  # whatever it is, the next round may fare better, and nobody else sweeps
            log.exception("sweep failed, and will be repeated")
        pause.wait(settings.times.sweep)

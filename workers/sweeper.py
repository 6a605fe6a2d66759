"""The sweeper of a cpu worker: a process of its own, beside the one that forks children.

It must not be a thread of that one: a child that is forked while another thread holds a lock finds
the lock taken for ever. (Seen: `functools.cached_property` of Python 3.11 has one lock per class, and
a reducer waited for it without end.)
"""

import logging
import multiprocessing
import os
import threading
import uuid

from redis.exceptions import RedisError

from jobs.broker import Broker
from jobs.ledger import Ledger
from jobs.sweeping import sweep
from savs.errors import SavsError
from workers.logs import set_up_logging
from workers.settings import SOCKET_TIMEOUT, WorkerSettings

LEADER = "savs:watcher"

log = logging.getLogger("savs.sweeper")


def start_sweeper(settings: WorkerSettings) -> None:
    """Starts the sweeper, which ends with this process."""
    context = multiprocessing.get_context("spawn")
    context.Process(target=keep_sweeping, args=(settings, os.getpid()), name="sweeper", daemon=True).start()


def keep_sweeping(settings: WorkerSettings, parent: int) -> None:
    """Sweeps every `times.sweep` seconds for as long as `parent` lives, unless another sweeper does."""
    set_up_logging(settings.log_format)  # a fresh interpreter
    ledger, broker = Ledger(settings.workspace), Broker(settings.broker_url, SOCKET_TIMEOUT)
    me, lease = uuid.uuid4().hex, int(settings.times.sweep * 2000)  # milliseconds
    pause = threading.Event()
    while os.getppid() == parent:
        try:
            leads = broker.redis.set(LEADER, me, nx=True, px=lease)
            if leads or broker.redis.get(LEADER) == me.encode():
                broker.redis.pexpire(LEADER, lease)
                sweep(ledger, broker, settings.times)
        except (SavsError, RedisError) as error:
            log.warning("sweep failed, and will be repeated: %s", error)
        pause.wait(settings.times.sweep)

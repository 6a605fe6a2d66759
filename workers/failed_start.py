"""Tells the pool why this worker cannot start, so that `watch`, `status` and `doctor` can say it."""

import logging
import socket

from redis.exceptions import RedisError

from jobs.queue.broker import Broker
from jobs.queue.failed_starts import gpu_of_this_process, note_failed_start
from workers.settings import WorkerSettings

TIMEOUT = 2.0  # seconds for Redis to answer; the worker is about to end

log = logging.getLogger("savs.worker")


def note(settings: WorkerSettings, reason: str) -> None:
    """Stores the reason in Redis, if it answers."""
    broker = Broker(settings.broker_url, TIMEOUT, lasting=False)
    try:
        note_failed_start(broker, settings.queue, socket.gethostname(), gpu_of_this_process(), reason)
    except RedisError as error:
        log.info("cannot tell the pool why: %s", error)
    finally:
        broker.redis.close()

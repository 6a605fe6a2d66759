"""Requeues the unit of a lost child process from the parent, at once, without waiting for a sweep.

The parent may fork children at any time, so it must have no threads. It also serves the queue, so it must
not wait for long: it uses short timeouts and a new connection each time, and leaves failures to the sweep.
"""

import logging
import re
from typing import Any

from billiard.exceptions import TimeLimitExceeded, WorkerLostError
from redis.exceptions import RedisError

from jobs.queue.broker import Broker
from jobs.queue.publisher import put_back_lost
from savs.errors import SavsError
from workers.messages.envelope import message_of
from workers.monitoring.logs import all_about
from workers.settings import WorkerSettings

PARENT_TIMEOUT = 2.0  # seconds for Redis to answer

log = logging.getLogger("savs.worker")


def why_lost(error: BaseException) -> str | None:
    """The reason why a task's process was lost; None if it was not."""
    if isinstance(error, TimeLimitExceeded):
        return f"took longer than the time limit of {error.args[0]:g} s (SAVS_SHARD_TIME_LIMIT)"
    if isinstance(error, WorkerLostError):
        found = re.search(r"prematurely: (.+?) Job", str(error))
        return f"its process was killed, {found[1] if found else 'cause unknown'}"
    return None


def release(settings: WorkerSettings, arguments: Any, why: str, refund: bool = False) -> None:
    """Requeues the unit of a task with these arguments, if it still belongs to that task."""
    message = message_of(arguments)
    if message is None:
        return
    broker = Broker(settings.broker_url, PARENT_TIMEOUT, lasting=False)
    with all_about(message):
        try:
            if put_back_lost(broker, settings.queue, message, settings.times.attempts, why, refund):
                log.warning("requeued: %s", why)
        except (SavsError, RedisError) as error:
            log.warning("left to the sweep: %s; cannot requeue now: %s", why, error)
        finally:
            broker.redis.close()

"""What the parent does for a unit whose process is gone: gives it back at once, not when it is missed.

The parent forks children at any time, so it must have no thread, and it serves the queue, so it must not
wait for long: short timeouts, a connection for each time, and what fails is left to the sweep.
"""

import logging
import re
from typing import Any

from billiard.exceptions import TimeLimitExceeded, WorkerLostError
from pydantic import ValidationError
from redis.exceptions import RedisError

from jobs.queue.broker import Broker
from jobs.queue.publisher import put_back_lost
from savs.errors import SavsError
from workers.logs import all_about
from workers.messages import MESSAGES
from workers.settings import WorkerSettings

PARENT_TIMEOUT = 2.0  # seconds for Redis to answer

log = logging.getLogger("savs.worker")


def why_lost(error: BaseException) -> str | None:
    """How a task's process ended, in words; None where it did not."""
    if isinstance(error, TimeLimitExceeded):
        return f"took longer than the time limit of {error.args[0]:g} s (SAVS_SHARD_TIME_LIMIT)"
    if isinstance(error, WorkerLostError):
        found = re.search(r"prematurely: (.+?) Job", str(error))
        return f"its process was killed, {found[1] if found else 'nobody knows how'}"
    return None


def release(settings: WorkerSettings, arguments: Any, why: str, refund: bool = False) -> None:
    """Gives back the unit of a task with these arguments, if it is still that task's."""
    try:
        message = MESSAGES.validate_python(arguments[0])
    except (ValidationError, LookupError, TypeError):
        return  # it was refused, and nothing was done for it
    broker = Broker(settings.broker_url, PARENT_TIMEOUT, lasting=False)
    with all_about(message):
        try:
            if put_back_lost(broker, settings.queue, message, settings.times.attempts, why, refund):
                log.warning("taken back: %s", why)
        except (SavsError, RedisError) as error:
            log.warning("left to the sweep: %s, and %s", why, error)
        finally:
            broker.redis.close()

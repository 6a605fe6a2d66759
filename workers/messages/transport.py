"""kombu's Redis transport, which only lets savs' own messages through.

Anybody who can write to the queue can write anything, and kombu and Celery trust a message before a task
sees it: of malformed ones many end the worker, a compressed one may fill its memory, and headers can make
Celery send it again for ever. So each message is taken apart here, and what is passed on is built anew from
ids and numbers. Anything else is dropped with one warning; the unit of a dropped message is still on the
board, and a sweep publishes another message.
"""

import logging
import uuid
from base64 import b64encode
from typing import Any

from kombu.transport import redis

from jobs.queue.broker import celery_body, celery_headers
from jobs.records.message import Message
from workers.messages.envelope import Unusable, message_in

log = logging.getLogger("savs.worker")


class Channel(redis.Channel):  # type: ignore[misc]  # kombu has no types
    """Drops what is not JSON, or what JSON with kombu's extensions cannot be read."""

    def _brpop_read(self, **options: Any) -> Any:
        try:
            return super()._brpop_read(**options)
        except (*self.connection_errors, *self.connection.channel_errors, redis.Empty):
            raise
        except Exception as error:  # the message is off the list, and `_deliver` raises none of its own
            log.warning("dropped a message: it cannot be decoded: %s", type(error).__name__)
            return True

    def _queue_bind(self, *_: Any) -> None:
        """Does nothing: messages are sent to a list by its name, so no bindings are stored."""


class Transport(redis.Transport):  # type: ignore[misc]
    """Delivers usable messages, built anew."""

    Channel = Channel

    def _deliver(self, message: Any, queue: str) -> None:
        try:
            usable = message_in(message, queue)
        except Unusable as error:
            log.warning("dropped a message: it %s", error, extra=error.about)
            return
        super()._deliver(_envelope(usable, queue), queue)


def _envelope(message: Message, queue: str) -> dict[str, Any]:
    """What kombu's own producer would have sent."""
    return {
        "body": b64encode(celery_body(message).encode()).decode(),
        "content-encoding": "utf-8",
        "content-type": "application/json",
        "headers": celery_headers(message),
        "properties": {
            "delivery_mode": 2,
            "delivery_info": {"exchange": "", "routing_key": queue},
            "priority": 0,
            "body_encoding": "base64",
            "delivery_tag": uuid.uuid4().hex,
        },
    }

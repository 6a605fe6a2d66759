"""Validates messages: those that this worker cannot use are dropped, with one warning each.

Nothing is lost: the unit of a dropped message is still on the board, and a sweep publishes another
message. Untrusted clients may write to the queue, so nothing is assumed about a message.
"""

import logging
from typing import Any, TypeVar

from celery.worker.consumer import Consumer
from pydantic import TypeAdapter, ValidationError

from jobs.records.message import Message
from jobs.records.record import SCHEMA

log = logging.getLogger("savs.worker")

MESSAGES: TypeAdapter[Message] = TypeAdapter(Message)
NEWER = "was sent by a newer savs; upgrade this worker"
SHOWN = 200  # characters of untrusted text that are logged
Kind = TypeVar("Kind", bound=Message)


def accepted(kind: type[Kind], arguments: tuple[Any, ...]) -> Kind | None:
    """The message in a task's `arguments`; None, with a warning, if it cannot be used."""
    sent = arguments[0] if len(arguments) == 1 else None
    try:
        message = MESSAGES.validate_python(sent)
        if isinstance(message, kind):
            return message
        problem = f"is a {message.task}, but this task needs {kind.__name__}"
    except ValidationError as error:
        problem = NEWER if _is_newer(sent) else _first(error)
    log.warning("dropped a message: it %s", problem, extra=_job(sent))
    return None


def _is_newer(sent: Any) -> bool:
    schema = sent.get("schema_version") if isinstance(sent, dict) else None
    return isinstance(schema, int) and schema > SCHEMA


def _job(sent: Any) -> dict[str, str]:
    job = sent.get("job_id") if isinstance(sent, dict) else None
    return {"job": job[:SHOWN]} if isinstance(job, str) else {}


def _first(error: ValidationError) -> str:
    found = error.errors(include_url=False, include_context=False, include_input=False)[0]
    place = ".".join(str(part) for part in found["loc"]) or "the message"
    return f"is malformed: {place}: {found['msg']}"[:SHOWN]


class RefusingConsumer(Consumer):  # type: ignore[misc]  # Celery has no types
    """Celery's consumer, with one warning per unusable message instead of a page with a traceback."""

    def on_unknown_task(self, body: Any, message: Any, exc: Exception) -> None:
        name = str(message.headers.get("task"))[:SHOWN]
        self._refuse(
            message, f"asks for the unknown task {name!r}; if a newer savs sent it, upgrade this worker"
        )

    def on_unknown_message(self, body: Any, message: Any) -> None:
        self._refuse(message, "is not from savs")

    def on_invalid_task(self, body: Any, message: Any, exc: Exception) -> None:
        self._refuse(message, f"is malformed: {exc}"[:SHOWN])

    def on_decode_error(self, message: Any, exc: Exception) -> None:
        self._refuse(message, f"cannot be decoded: {exc}"[:SHOWN])

    def _refuse(self, message: Any, problem: str) -> None:
        log.warning("dropped a message: it %s", problem)
        message.reject_log_error(log, self.connection_errors)

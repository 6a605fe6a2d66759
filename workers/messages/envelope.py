"""Reads messages from the queue, about which nothing is assumed: untrusted clients may write to it."""

import json
from base64 import b64decode
from typing import Any

from pydantic import TypeAdapter, ValidationError

from jobs.records.message import CPU_QUEUE, MESSAGE_SCHEMA, Message, RunShard

MESSAGES: TypeAdapter[Message] = TypeAdapter(Message)
MAX_BODY = 16 * 2**10  # characters; those that savs sends are under a kilobyte
SHOWN = 200  # characters of untrusted text that are logged


class Unusable(Exception):
    """A message that is not from savs, or not for this queue. Its text is a predicate of "it".

    about  the fields of its log record
    """

    def __init__(self, problem: str, about: dict[str, str] | None = None) -> None:
        super().__init__(problem[:SHOWN])
        self.about = about or {}


def message_in(envelope: Any, queue: str) -> Message:
    """Return the message in an envelope, as kombu stores it, from the list `queue`. Raises Unusable."""
    try:
        body, encoding = envelope["body"], envelope["properties"]["body_encoding"]
        task = envelope["headers"]["task"]
        usual = encoding == "base64" and "compression" not in envelope["headers"]
    except (TypeError, KeyError) as error:
        raise Unusable("is not from savs") from error
    if not (usual and isinstance(body, str) and isinstance(task, str) and len(body) <= MAX_BODY):
        raise Unusable("is not from savs")
    try:
        arguments = json.loads(b64decode(body, validate=True))
        sent = arguments[0][0]
    except (ValueError, TypeError, LookupError, RecursionError) as error:
        raise Unusable("is malformed: it has no message") from error
    about = _job(sent)
    try:
        message = MESSAGES.validate_python(sent)
    except (ValidationError, RecursionError) as error:
        raise Unusable(_why(sent, error), about) from error
    if message.task != task:
        raise Unusable(f"is a {message.task} and says that it is a {task}", about)
    if isinstance(message, RunShard) == queue.startswith(CPU_QUEUE):
        raise Unusable(f"is a {message.task}, which does not belong on this queue", about)
    return message


def message_of(arguments: tuple[Any, ...]) -> Message | None:
    """Return the message in a task's arguments; None if there is none."""
    try:
        return MESSAGES.validate_python(arguments[0])
    except (ValidationError, LookupError, TypeError):
        return None


def _why(sent: Any, error: ValidationError | RecursionError) -> str:
    schema = sent.get("schema_version") if isinstance(sent, dict) else None
    if isinstance(schema, int) and schema > MESSAGE_SCHEMA:
        return "was sent by a newer savs; upgrade this worker"
    if isinstance(error, RecursionError):
        return "is malformed: too deep"
    found = error.errors(include_url=False, include_context=False, include_input=False)[0]
    place = ".".join(str(part) for part in found["loc"]) or "the message"
    return f"is malformed: {place}: {found['msg']}"


def _job(sent: Any) -> dict[str, str]:
    job = sent.get("job_id") if isinstance(sent, dict) else None
    return {"job": job[:SHOWN]} if isinstance(job, str) else {}

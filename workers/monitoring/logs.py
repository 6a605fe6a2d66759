"""The log of a worker's processes: text lines, or one JSON object per line.

All records within `all_about(message)` have the fields of that unit of work, whichever module logs them.
Item names, errors and messages come from untrusted sources: a record is always one line without terminal
control characters, and passwords in addresses are removed.
"""

import json
import logging
import os
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal

from pythonjsonlogger.core import RESERVED_ATTRS
from pythonjsonlogger.json import JsonFormatter

from jobs.records.message import Message
from jobs.settings import LogLevel

LogFormat = Literal["text", "json"]
GPU_VARIABLE = "SAVS_GPU"  # the GPU of a worker that was started with --gpus

UNIT_FIELDS = ("job", "shard", "attempt", "epoch")
# Control characters, line and paragraph separators, marks of text direction, lone surrogates.
UNSHOWABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
LOGIN = re.compile(r"://[^\s/]*@")  # up to the last @: some passwords contain one
PLAIN = re.compile(r"[\w.:/+-]+", re.ASCII)


IN_HAND: dict[str, Any] = {}  # fields of the process's current unit (it has one at a time), for all threads


@contextmanager
def all_about(message: Message) -> Iterator[None]:
    """A context in which all records of this process have the fields of the message's unit."""
    IN_HAND.update(job=message.job_id, shard=message.unit, epoch=message.epoch)
    try:
        yield
    finally:
        IN_HAND.clear()


def about_attempt(number: int) -> None:
    """Adds the number of the attempt to all records until `all_about` ends."""
    IN_HAND["attempt"] = number


def add_unit(record: logging.LogRecord) -> bool:
    """A logging filter that drops nothing, and adds the fields of the current unit to the record."""
    record.__dict__.update(IN_HAND | record.__dict__)
    return True


def set_up_logging(log_format: LogFormat, level: LogLevel = "info") -> None:
    """Sends records of this process, and of those forked from it, to standard error: those of savs from
    `level` up, others from warnings up."""
    handler = logging.StreamHandler()
    gpu = os.environ.get(GPU_VARIABLE)
    handler.setFormatter(JsonLines(gpu) if log_format == "json" else TextLines(gpu))
    handler.addFilter(add_unit)
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    logging.getLogger("savs").setLevel(level.upper())
    logging.getLogger("multiprocessing").addHandler(handler)  # Celery's pool does not propagate its records
    logging.captureWarnings(True)


class TextLines(logging.Formatter):
    """`2026-11-23T23:09:26.130Z INFO savs.worker shard ended: done … job=… shard=… attempt=…`

    The lines of a traceback are indented, so that they cannot be mistaken for records.
    """

    def __init__(self, gpu: str | None = None) -> None:
        super().__init__()
        self.gpu = gpu

    def format(self, record: logging.LogRecord) -> str:
        at = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        words = [f"{at}.{int(record.msecs):03d}Z", record.levelname, record.name, record.getMessage()]
        fields = {name: getattr(record, name) for name in UNIT_FIELDS if hasattr(record, name)}
        if self.gpu is not None:
            fields["gpu"] = self.gpu
        words += [f"{name}={_quoted(str(value))}" for name, value in fields.items()]
        lines = [_showable(" ".join(words))]
        if record.exc_info:
            trace = self.formatException(record.exc_info)
            lines += [f"    {_showable(line)}" for line in trace.split("\n")]
        return without_logins("\n".join(lines))


class JsonLines(JsonFormatter):
    """An object with `time`, `level`, `logger`, `message`, `pid`, the fields of the unit, and, if there is
    one, a traceback in `exception`."""

    def __init__(self, gpu: str | None = None) -> None:
        super().__init__(
            ["levelname", "name", "message", "process"],
            rename_fields={"levelname": "level", "name": "logger", "process": "pid", "exc_info": "exception"},
            static_fields={} if gpu is None else {"gpu": gpu},
            timestamp="time",
            reserved_attrs=[*RESERVED_ATTRS, "data"],  # Celery's copy of the message
        )

    def process_log_record(self, log_data: dict[str, Any]) -> dict[str, Any]:
        first = {"time": log_data.pop("time")}
        return first | {
            name: without_logins(value) if isinstance(value, str) else value
            for name, value in log_data.items()
        }


def without_logins(text: str) -> str:
    """`text` without users and passwords in its addresses."""
    return LOGIN.sub("://…@", text)


def _showable(text: str) -> str:
    return UNSHOWABLE.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def _quoted(value: str) -> str:
    """`value`, quoted if it could be mistaken for several fields."""
    return value if PLAIN.fullmatch(value) else json.dumps(value, ensure_ascii=False)

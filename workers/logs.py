"""The log of a worker's processes: lines for a person, or one JSON object per line for a machine.

What is logged within `all_about(message)` carries the fields of that unit of work, whoever logs it.
Item names, errors and messages come from strangers: whatever they hold, a record is one line that
steers no terminal, and no password in an address is shown. This module does not know what is logged,
nor when.
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
GPU_VARIABLE = "SAVS_GPU"  # which GPU a worker was given, if it was given one

UNIT_FIELDS = ("job", "shard", "attempt", "epoch")
# Controls, line and paragraph separators, marks that turn the direction of writing, lone surrogates.
UNSHOWABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
LOGIN = re.compile(r"://[^\s/]*@")  # up to the last @: some passwords hold one
PLAIN = re.compile(r"[\w.:/+-]+", re.ASCII)


IN_HAND: dict[str, Any] = {}  # of this process, which has one unit at a time, and threads that help


@contextmanager
def all_about(message: Message) -> Iterator[None]:
    """Until it ends, all records of this process are about the message's unit of work."""
    IN_HAND.update(job=message.job_id, shard=message.unit, epoch=message.epoch)
    try:
        yield
    finally:
        IN_HAND.clear()


def about_attempt(number: int) -> None:
    """Until `all_about` ends, records carry the number of the attempt too."""
    IN_HAND["attempt"] = number


def add_unit(record: logging.LogRecord) -> bool:
    """A filter that drops nothing: gives the record the fields of the unit in hand."""
    record.__dict__.update(IN_HAND | record.__dict__)
    return True


def set_up_logging(log_format: LogFormat, level: LogLevel = "info") -> None:
    """Sends all records of this process, and of those forked from it, to standard error; savs' own
    from `level` on, others' from warnings on."""
    handler = logging.StreamHandler()
    gpu = os.environ.get(GPU_VARIABLE)
    handler.setFormatter(JsonLines(gpu) if log_format == "json" else TextLines(gpu))
    handler.addFilter(add_unit)
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    logging.getLogger("savs").setLevel(level.upper())
    logging.getLogger("multiprocessing").addHandler(handler)  # Celery's pool hands nothing up
    logging.captureWarnings(True)


class TextLines(logging.Formatter):
    """`2026-11-23T23:09:26.130Z INFO savs.worker shard ended: done … job=… shard=… attempt=…`

    The lines of a traceback are indented, so that none can be taken for a record.
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
    """An object with `time`, `level`, `logger`, `message`, `pid`, the fields of the unit, and
    `exception`, a traceback, where there is one."""

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
    """`text` with no user or password in the addresses it holds."""
    return LOGIN.sub("://…@", text)


def _showable(text: str) -> str:
    return UNSHOWABLE.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def _quoted(value: str) -> str:
    """`value`, in quotes where it could pass for several fields."""
    return value if PLAIN.fullmatch(value) else json.dumps(value, ensure_ascii=False)

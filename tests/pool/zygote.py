"""Starts the workers of tests by forking a process that has imported what they need: that alone takes a
core longer than most of the tests.

Orders come as JSON lines on standard input: the arguments of `tests.pool.fake`, the environment, a file
for all that is printed, and one for the exit code. The answer is the worker's process id.
"""

import functools
import importlib
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.pool import fake

HEAVY = [
    *(
        "torch",
        "safetensors.numpy",
        "boto3",
        "savs.artifact.artifact",
        "savs.readout.classify",
        "savs.readout.fit",
    ),
    *("workers.app", "celery.apps.worker", "celery.concurrency.prefork", "celery.app.amqp"),
    *("celery.worker.consumer", "kombu.transport.redis"),
]
POLL = 0.02  # seconds between looks for an exit code


@dataclass
class WorkerProcess:
    """A worker, in a session of its own. As a `subprocess.Popen`, whose child it is not."""

    pid: int
    exit_code: Path

    def poll(self) -> int | None:
        return int(self.exit_code.read_text()) if self.exit_code.exists() else None

    def wait(self, timeout: float | None = None) -> int:
        end = None if timeout is None else time.monotonic() + timeout
        while (code := self.poll()) is None:
            if end is not None and time.monotonic() >= end:
                raise subprocess.TimeoutExpired("a worker", timeout or 0)
            time.sleep(POLL)
        return code

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)


def start_worker(arguments: list[str], environment: dict[str, str], log: Path) -> WorkerProcess:
    """A worker of `tests.pool.fake`, that has all its imports."""
    log.touch()  # it is read at once
    exit_code = log.with_suffix(".exit")
    order = {
        "arguments": arguments,
        "environment": environment,
        "log": str(log),
        "exit_code": str(exit_code),
    }
    server = _server()
    assert server.stdin is not None and server.stdout is not None
    server.stdin.write(json.dumps(order) + "\n")
    server.stdin.flush()
    return WorkerProcess(int(server.stdout.readline()), exit_code)


@functools.cache
def _server() -> "subprocess.Popen[str]":
    """One for all tests; it ends when nobody can send it orders any more."""
    return subprocess.Popen(
        [sys.executable, "-m", "tests.pool.zygote"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def serve() -> None:
    for name in HEAVY:
        importlib.import_module(name)
    for line in sys.stdin:
        print(_fork(json.loads(line)), flush=True)
        while _reaped():
            pass


def _fork(order: dict[str, Any]) -> int:
    """Forks a process that forks the worker, and waits for it."""
    reader, writer = os.pipe()
    if os.fork():
        os.close(writer)
        with os.fdopen(reader) as answer:
            return int(answer.read())
    os.close(reader)
    if worker := os.fork():
        os.write(writer, str(worker).encode())
        os.close(writer)
        _, status = os.waitpid(worker, 0)
        written = Path(order["exit_code"] + ".new")
        written.write_text(str(os.waitstatus_to_exitcode(status)))
        written.rename(order["exit_code"])
        os._exit(0)
    os.close(writer)
    _become(order)
    sys.exit()


def _become(order: dict[str, Any]) -> None:
    os.setsid()
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    log = os.open(order["log"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    for stream in (1, 2):
        os.dup2(log, stream)
    os.environ.clear()
    os.environ.update(order["environment"])
    fake.main(*order["arguments"])


def _reaped() -> bool:
    try:
        return os.waitpid(-1, os.WNOHANG)[0] != 0
    except ChildProcessError:
        return False


if __name__ == "__main__":
    serve()

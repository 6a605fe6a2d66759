"""The process that holds the model: loads it once, before the first shard, and runs tasks.

CUDA does not survive a fork, so nothing here is called in the parent. Celery swallows errors of a
starting child, so the child says why it cannot start, and the parent ends (see `workers.app`).
"""

import logging
import multiprocessing
import os
import socket
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from redis.exceptions import RedisError

from jobs.advancing import attempt_to_advance
from jobs.attempts import Attempt, attempt_shard
from jobs.broker import WORKER_LIFE, Broker, Serving
from jobs.guarding import Roots
from jobs.ledger import Ledger
from jobs.messages import PlanJob, ReduceJob, RunShard
from jobs.outcomes import Counts
from savs.errors import SettingsError
from workers.logs import GPU_VARIABLE
from workers.metrics import Metrics
from workers.settings import SOCKET_TIMEOUT, WorkerSettings

if TYPE_CHECKING:
    from multiprocessing.synchronize import Event

    from savs.models import Model

log = logging.getLogger("savs.worker")

Loader = Callable[[str], "Model"]


@dataclass
class Shared:
    """Made before the fork, seen by both sides.

    ready     set once a child has its model
    stopping  set when the worker is told to stop: children leave between batches
    failed    set when a child cannot start: the worker ends
    """

    ready: "Event"
    stopping: "Event"
    failed: "Event"

    @classmethod
    def make(cls) -> "Shared":
        context = multiprocessing.get_context("fork")
        return cls(context.Event(), context.Event(), context.Event())


class Child:
    """A worker process' tools, made in the process itself."""

    def __init__(self, settings: WorkerSettings, shared: Shared, load: Loader) -> None:
        self.settings, self.shared = settings, shared
        self.ledger = Ledger(settings.workspace)
        self.broker = Broker(settings.broker_url, SOCKET_TIMEOUT)
        self.roots = Roots.of([settings.workspace, *settings.roots], settings.allow_http)
        self.metrics = Metrics(settings.broker_url, settings.queue)
        self._serve_metrics()
        self.model = self._load(load, settings.model) if settings.model else None
        threading.Thread(target=self._show_life, name="life", daemon=True).start()
        shared.ready.set()

    def _serve_metrics(self) -> None:
        """Before the model is loaded, so that a port in use is told at once. Only the first child
        insists on it: later there is work to lose."""
        if self.settings.metrics_port is None:
            return
        try:
            self.metrics.serve(self.settings.metrics_port)
        except SettingsError as error:
            if not self.shared.ready.is_set():
                raise
            log.error("goes on without metrics: %s", error)

    def _load(self, load: Loader, name: str) -> "Model":
        log.info("loading %s", name)
        began = time.monotonic()
        model = load(name)
        seconds = time.monotonic() - began
        self.metrics.load_seconds.labels(name).set(seconds)
        log.info("model loaded in %.1f s", seconds, extra={"seconds": round(seconds, 3)})
        if GPU_VARIABLE in os.environ and not _finds_gpu():
            log.warning("the GPU is not there; the model is on the CPU")
        return model

    def _show_life(self) -> None:
        """Lets commands see that a worker with its model serves the queue."""
        me = Serving(socket.gethostname(), os.getpid(), self.settings.workspace, self.settings.roots)
        pause = threading.Event()
        while True:
            with suppress(RedisError):  # seen again when Redis is back
                self.broker.show_life(self.settings.queue, me)
            pause.wait(WORKER_LIFE / 3)

    def run_shard(self, message: RunShard) -> None:
        """One attempt at a shard. A shard of another model is not touched: its sweep puts it back."""
        model = self.ledger.job(message.job_id).spec.model
        if self.model is None or model != self.settings.model:
            log.warning("left a shard of another model, %s", model)
            return
        log.info("shard taken")
        began = time.monotonic()
        attempt = attempt_shard(
            self.ledger,
            self.broker,
            self.settings.queue,
            message,
            self.model,
            self.settings.times,
            self.shared.stopping.is_set,
            self.roots,
        )
        self.metrics.count(message.task, attempt)
        _log_end(attempt, time.monotonic() - began)

    def advance(self, message: PlanJob | ReduceJob) -> None:
        """One attempt at planning or reducing a job."""
        word = attempt_to_advance(self.ledger, self.broker, message, self.settings.times, self.roots)
        log.info("%s ended: %s", message.unit, word, extra={"outcome": word})


def _log_end(attempt: Attempt, seconds: float) -> None:
    counts = attempt.outcome.counts if attempt.outcome is not None else Counts()
    done = f"{counts.rows} rows, {counts.failed} failed, {seconds:.1f} s"
    fields = {
        "attempt": attempt.number,
        "outcome": attempt.word,
        "rows": counts.rows,
        "failed": counts.failed,
        "seconds": round(seconds, 3),
    }
    if attempt.outcome is not None and attempt.outcome.reason:
        log.warning("shard ended: %s, %s: %s", attempt.word, done, attempt.outcome.reason, extra=fields)
    else:
        log.info("shard ended: %s, %s", attempt.word, done, extra=fields)


def _finds_gpu() -> bool:
    torch = sys.modules.get("torch")
    return torch is not None and bool(torch.cuda.is_available())

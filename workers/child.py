"""The process that holds the model: loads it once, before the first shard, and runs tasks.

CUDA does not survive a fork, so nothing here is called in the parent. Celery swallows errors of a
starting child, so they are handed to the parent, which ends (see `workers.parent`).
"""

import multiprocessing
import os
import socket
import threading
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
from workers.settings import SOCKET_TIMEOUT, WorkerSettings

if TYPE_CHECKING:
    from multiprocessing.synchronize import Event
    from typing import Any

    from savs.models import Model

Loader = Callable[[str], "Model"]


@dataclass
class Shared:
    """Made before the fork, seen by both sides.

    ready     set once a child has its model
    stopping  set when the worker is told to stop: children leave between batches
    failures  why loading failed, for the parent
    """

    ready: "Event"
    stopping: "Event"
    failures: "Any"

    @classmethod
    def make(cls) -> "Shared":
        context = multiprocessing.get_context("fork")
        return cls(context.Event(), context.Event(), context.SimpleQueue())


class Child:
    """A worker process' tools, made in the process itself."""

    def __init__(self, settings: WorkerSettings, shared: Shared, load: Loader) -> None:
        self.settings, self.shared = settings, shared
        self.ledger = Ledger(settings.workspace)
        self.broker = Broker(settings.broker_url, SOCKET_TIMEOUT)
        self.roots = Roots.of([settings.workspace, *settings.roots], settings.allow_http)
        self.model = load(settings.model) if settings.model else None
        threading.Thread(target=self._show_life, name="life", daemon=True).start()
        shared.ready.set()

    def _show_life(self) -> None:
        """Lets commands see that a worker with its model serves the queue."""
        me = Serving(socket.gethostname(), os.getpid(), self.settings.workspace, self.settings.roots)
        pause = threading.Event()
        while True:
            with suppress(RedisError):  # seen again when Redis is back
                self.broker.show_life(self.settings.queue, me)
            pause.wait(WORKER_LIFE / 3)

    def run_shard(self, message: RunShard) -> Attempt:
        """One attempt at a shard. A shard of another model is not touched: its sweep puts it back."""
        if self.model is None or self.ledger.job(message.job_id).spec.model != self.settings.model:
            return Attempt("another model's")
        return attempt_shard(
            self.ledger,
            self.broker,
            self.settings.queue,
            message,
            self.model,
            self.settings.times,
            self.shared.stopping.is_set,
            self.roots,
        )

    def advance(self, message: PlanJob | ReduceJob) -> str:
        """One attempt at planning or reducing a job."""
        return attempt_to_advance(self.ledger, self.broker, message, self.settings.times, self.roots)

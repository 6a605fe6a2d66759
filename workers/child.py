"""The process that holds the model: loads it once, before the first shard, and runs tasks.

CUDA does not survive a fork, so nothing here is called in the parent. Celery hides errors of a starting
child, so the child logs why it cannot start, and the parent ends (see `workers.app`).
"""

import logging
import os
import socket
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING

from redis.exceptions import RedisError

from jobs.ledger.ledger import Ledger
from jobs.ledger.plans import Plans
from jobs.queue.broker import WORKER_LIFE, Broker, ServingWorker
from jobs.queue.failed_starts import forget_failed_starts, gpu_of_this_process
from jobs.queue.refusals import Refusals
from jobs.records.message import Message, PlanJob, ReduceJob, RunShard
from jobs.records.outcome import Counts
from jobs.run.advance import attempt_to_advance
from jobs.run.attempt import Attempt, Worker, attempt_shard
from jobs.shards.allowed_roots import Roots
from savs.errors import SettingsError
from workers.cores import Cores
from workers.flags import Flags
from workers.idle import watch_for_work
from workers.monitoring.logs import GPU_VARIABLE, about_attempt
from workers.monitoring.metrics import Metrics
from workers.monitoring.signs import WorkerSigns
from workers.settings import SOCKET_TIMEOUT, WorkerSettings

if TYPE_CHECKING:
    from savs.model.model import Model

LAST_WORD = 2.0  # seconds for Redis to answer a worker that ends

log = logging.getLogger("savs.worker")

Loader = Callable[[str], "Model"]


class Child:
    """The state of a child process: its worker, metrics and model. Created in the child itself."""

    def __init__(self, settings: WorkerSettings, shared: Flags, load: Loader, signs: WorkerSigns) -> None:
        self.settings, self.shared, self.signs = settings, shared, signs
        signs.say("starting")
        self.me = ServingWorker(socket.gethostname(), os.getpid(), settings.workspace, settings.roots)
        broker, ledger = Broker(settings.broker_url, SOCKET_TIMEOUT), Ledger(settings.workspace)
        self.worker = Worker(
            ledger=ledger,
            plans=Plans(ledger),
            broker=broker,
            queue=settings.queue,
            refusals=Refusals(broker, settings.queue, self.me.name),
            times=settings.times,
            roots=Roots.of([settings.workspace, *settings.roots], settings.allow_http),
            stopping=shared.stopping.is_set,
            claimed=self._claimed,
        )
        self.metrics = Metrics(settings.broker_url, settings.queue)
        self._serve_metrics()
        self.model = self._load(load, settings.model) if settings.model else None
        self.cores = Cores(self.model) if self.model else None
        self.beside, self.ended, self.speaking = 1, False, threading.Lock()
        self._say_alive()
        with suppress(RedisError):
            forget_failed_starts(broker, settings.queue, self.me.host, gpu_of_this_process())
        signs.say("ready")
        for target in (self._show_life, signs.go_on, self._watch_for_work):
            threading.Thread(target=target, name=target.__name__.strip("_"), daemon=True).start()
        shared.loading.clear()  # before others may know that it is ready, and kill it
        shared.ready.set()

    def _serve_metrics(self) -> None:
        """Serves metrics. Called before the model is loaded, so that a port in use is reported at once. It is
        an error only in the first child: a later one continues without metrics."""
        if self.settings.metrics_port is None:
            return
        try:
            self.metrics.serve(self.settings.metrics_host, self.settings.metrics_port)
        except SettingsError as error:
            if not self.shared.ready.is_set():
                raise
            log.error("continues without metrics: %s", error)

    def _load(self, load: Loader, name: str) -> "Model":
        log.info("loading %s", name)
        began = time.monotonic()
        model = load(name)
        seconds = time.monotonic() - began
        self.metrics.load_seconds.labels(name).set(seconds)
        log.info("model loaded in %.1f s", seconds, extra={"seconds": round(seconds, 3)})
        if GPU_VARIABLE in os.environ and not _finds_gpu():
            log.warning("no GPU found; the model runs on the CPU")
        return model

    def _show_life(self) -> None:
        """Reports to Redis, for as long as the process runs, that this worker serves the queue."""
        pause = threading.Event()
        while not self.ended:
            pause.wait(WORKER_LIFE / 3)
            self._say_alive()

    def _watch_for_work(self) -> None:
        if self.settings.exit_when_idle is not None:
            watch_for_work(self.worker, self.settings.exit_when_idle, self.shared.idle)

    def _say_alive(self) -> None:
        with suppress(RedisError):  # reports again when Redis is back
            with self.speaking:
                if self.ended:
                    return
                self.worker.broker.show_life(self.worker.queue, self.me)
            self.beside = self.worker.broker.models_on(self.me.host)

    def end(self) -> None:
        """Tells Redis that this worker has ended, so that nobody counts it as running for WORKER_LIFE."""
        self.ended = True
        if not self.speaking.acquire(timeout=LAST_WORD):  # a report under way would outlive this one
            return
        broker = Broker(self.settings.broker_url, LAST_WORD, lasting=False)
        with suppress(RedisError):
            broker.end_life(self.settings.queue, self.me)

    def run(self, message: Message) -> None:
        """Makes one attempt at the unit of a message."""
        self.signs.say("working")
        try:
            if isinstance(message, RunShard):
                self._run_shard(message)
            else:
                self._advance(message)
        finally:
            self.signs.say("ready")

    def _run_shard(self, message: RunShard) -> None:
        """Makes one attempt at a shard. A shard of another model is skipped: a sweep requeues it."""
        model = self.worker.ledger.job(message.job_id).spec.model
        if self.model is None or model != self.settings.model:
            log.warning("skipped a shard of another model, %s", model)
            return
        if self.cores is not None:
            self.cores.share(self.beside)
        began = time.monotonic()
        attempt = attempt_shard(self.worker, message, self.model)
        self.metrics.count(message.task, attempt)
        _log_end(attempt, time.monotonic() - began)
        self._leave_to_others(message.job_id)

    def _advance(self, message: PlanJob | ReduceJob) -> None:
        """Makes one attempt at planning or reducing a job."""
        word = attempt_to_advance(self.worker, message)
        log.info("%s ended: %s", message.unit, word, extra={"outcome": word})
        self._leave_to_others(message.job_id)

    def _claimed(self, number: int) -> None:
        about_attempt(number)
        if self.model is not None:
            log.info("shard claimed")

    def _leave_to_others(self, job_id: str) -> None:
        """Waits after a unit of a job that this worker refuses, so that other workers take its shards."""
        if (pause := self.worker.refusals.pause(job_id)) > 0:
            self.shared.stopping.wait(pause)


def _log_end(attempt: Attempt, seconds: float) -> None:
    counts = attempt.outcomes[0].counts if attempt.outcomes else Counts()
    abstained = f"{counts.abstained} abstained, " if counts.abstained else ""
    done = f"{counts.rows} rows, {abstained}{counts.failed} failed, {seconds:.1f} s"
    fields = {
        "attempt": attempt.number,
        "outcome": attempt.word,
        "rows": counts.rows,
        "failed": counts.failed,
        "seconds": round(seconds, 3),
    }
    if attempt.outcomes and attempt.outcomes[0].reason:
        log.warning("shard ended: %s, %s: %s", attempt.word, done, attempt.outcomes[0].reason, extra=fields)
    else:
        log.info("shard ended: %s, %s", attempt.word, done, extra=fields)


def _finds_gpu() -> bool:
    torch = sys.modules.get("torch")
    return torch is not None and bool(torch.cuda.is_available())

"""A worker's metrics for Prometheus, counted and served in the process that runs the shards.

Only committed outcomes are counted, so the counts agree with the ledger. If the process is killed, its
counts since the last scrape are lost, and its successor starts at 0.
"""

import errno
import time
from collections.abc import Iterator
from contextlib import suppress

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Metric,
    ProcessCollector,
    disable_created_metrics,
)
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector
from redis import Redis
from redis.exceptions import RedisError

from jobs.queue.board import Board
from jobs.records.message import CPU_QUEUE
from jobs.run.attempt import Attempt
from savs.errors import SettingsError
from workers.monitoring.metrics_server import serve_metrics
from workers.monitoring.pool_metrics import PoolState

SCRAPE_TIMEOUT = 2.0  # seconds for Redis to answer; Prometheus itself waits for 10
PORT_PATIENCE = 5.0  # seconds for a killed predecessor to release the port
PORT_PAUSE = 0.1  # seconds between attempts


class Metrics:
    """Counters of one worker process."""

    def __init__(self, broker_url: str, queue: str) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self.registry = CollectorRegistry()
        self.items = Counter(
            "savs_items", "Rows with an outcome.", ["task", "outcome"], registry=self.registry
        )
        self.errors = Counter("savs_item_errors", "Failed rows.", ["kind"], registry=self.registry)
        self.stages = Counter(
            "savs_stage_seconds",
            "Seconds per stage; decoding runs in parallel with the model.",
            ["stage"],
            registry=self.registry,
        )
        self.shards = Counter("savs_shards", "Attempts at shards.", ["outcome"], registry=self.registry)
        self.shards.labels("given up")  # 0: Prometheus sees no increase of a series that begins with 1
        self.load_seconds = Gauge(
            "savs_model_load_seconds", "Seconds to load the model.", ["model"], registry=self.registry
        )
        redis = Redis.from_url(
            broker_url, socket_timeout=SCRAPE_TIMEOUT, socket_connect_timeout=SCRAPE_TIMEOUT
        )
        self.registry.register(Outstanding(redis, queue))
        if queue == CPU_QUEUE:
            self.registry.register(PoolState(redis))
        ProcessCollector(registry=self.registry)

    def count(self, task: str, attempt: Attempt) -> None:
        """Adds one attempt at a shard."""
        self.shards.labels(attempt.word).inc()
        for outcome in attempt.outcomes:
            self.items.labels(task, "labelled").inc(outcome.counts.labelled)
            self.items.labels(task, "abstained").inc(outcome.counts.abstained)
            self.items.labels(task, "failed").inc(outcome.counts.failed)
            for kind, rows in outcome.tally.errors.items():
                self.errors.labels(kind).inc(rows)
        for outcome in attempt.outcomes[:1]:  # the others repeat the timings of the same pass
            for stage, seconds in outcome.timings.items():
                self.stages.labels(stage).inc(seconds)

    def serve(self, host: str, port: int, patience: float = PORT_PATIENCE) -> None:
        """Serves /metrics from a thread. Raises SettingsError if the port stays in use, or if `host` is not
        an address of this machine."""
        end = time.monotonic() + patience
        while True:
            try:
                serve_metrics(host, port, self.registry)
                return
            except OSError as error:
                if error.errno != errno.EADDRINUSE:
                    raise SettingsError(f"--metrics-host: {host}: {error.strerror}") from error
                if time.monotonic() >= end:
                    raise SettingsError(f"--metrics-port: {port}: {error.strerror}") from error
            time.sleep(PORT_PAUSE)


class Outstanding(Collector):
    """The length of the board, which is the demand. Omitted from a scrape if Redis does not answer."""

    def __init__(self, redis: Redis, queue: str) -> None:
        self.board = Board(redis, queue)

    def collect(self) -> Iterator[Metric]:
        gauge = GaugeMetricFamily("savs_outstanding_shards", "Units without an outcome.", labels=["queue"])
        with suppress(RedisError):
            gauge.add_metric([self.board.queue], len(self.board))
        yield gauge

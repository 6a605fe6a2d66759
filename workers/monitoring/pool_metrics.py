"""What a cpu worker tells Prometheus of the whole pool, also of queues that no worker serves."""

from collections import Counter
from collections.abc import Iterator
from contextlib import suppress

from prometheus_client import Metric
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector
from redis import Redis
from redis.exceptions import RedisError

from jobs.queue.broker import GIVEN_UP

BOARDS, WORKERS, UNSTARTED = "savs:outstanding:", "savs:worker:", "savs:unstarted:"
MOST_QUEUES = 1000  # that are told, by name: whoever can write to Redis can invent queues


class PoolState(Collector):
    """Outstanding units, live workers and failed starts of each queue, shards that sweeps gave up, and the
    memory of Redis, read from it at each scrape. What Redis does not answer is left out."""

    def __init__(self, redis: Redis) -> None:
        self.redis = redis

    def collect(self) -> Iterator[Metric]:
        boards = GaugeMetricFamily(
            "savs_pool_outstanding_shards", "Units without an outcome, of every queue.", labels=["queue"]
        )
        workers = GaugeMetricFamily("savs_pool_workers", "Workers that serve a queue now.", labels=["queue"])
        failed = GaugeMetricFamily(
            "savs_pool_failed_starts", "Workers of a queue that could not start.", labels=["queue"]
        )
        memory = GaugeMetricFamily(
            "savs_redis_memory_bytes", "Memory of Redis: used, and its limit (max).", labels=["of"]
        )
        given_up = CounterMetricFamily("savs_pool_given_up_shards", "Shards that a sweep gave up.")
        with suppress(RedisError):
            alive, outstanding, unstarted = self._workers(), self._lengths(BOARDS), self._lengths(UNSTARTED)
            for queue in sorted(alive.keys() | outstanding.keys() | unstarted.keys())[:MOST_QUEUES]:
                boards.add_metric([queue], outstanding[queue])
                workers.add_metric([queue], alive[queue])
                failed.add_metric([queue], unstarted[queue])
            found = self.redis.info("memory")
            memory.add_metric(["used"], found["used_memory"])
            memory.add_metric(["max"], found["maxmemory"])
            count = self.redis.get(GIVEN_UP) or b"0"
            given_up.add_metric([], int(count) if count.isdigit() else 0)
        yield from (boards, workers, failed, memory, given_up)

    def _lengths(self, start: str) -> Counter[str]:
        """Return how many fields the hashes whose keys begin so have, by the rest of their keys."""
        found: Counter[str] = Counter()
        for key in self.redis.scan_iter(match=f"{start}*", count=1000, _type="hash"):
            found[key.decode(errors="replace").removeprefix(start)] = self.redis.hlen(key)
        return found

    def _workers(self) -> Counter[str]:
        keys = self.redis.scan_iter(match=f"{WORKERS}*", count=1000)
        return Counter(key.decode(errors="replace").split(":")[2] for key in keys)

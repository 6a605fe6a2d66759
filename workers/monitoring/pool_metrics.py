"""What a cpu worker tells Prometheus of the whole pool, also of queues that no worker serves."""

from collections import Counter
from collections.abc import Iterator
from contextlib import suppress

from prometheus_client import Metric
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector
from redis import Redis
from redis.exceptions import RedisError

BOARDS, WORKERS = "savs:outstanding:", "savs:worker:"
MOST_QUEUES = 1000  # that are told, by name: whoever can write to Redis can invent queues


class PoolState(Collector):
    """Outstanding units and live workers of each queue, and Redis's memory, read from Redis at each scrape.
    What Redis does not answer is left out."""

    def __init__(self, redis: Redis) -> None:
        self.redis = redis

    def collect(self) -> Iterator[Metric]:
        boards = GaugeMetricFamily(
            "savs_pool_outstanding_shards", "Units without an outcome, of every queue.", labels=["queue"]
        )
        workers = GaugeMetricFamily("savs_pool_workers", "Workers that serve a queue now.", labels=["queue"])
        memory = GaugeMetricFamily(
            "savs_redis_memory_bytes", "Memory of Redis: used, and its limit (max).", labels=["of"]
        )
        with suppress(RedisError):
            alive, outstanding = self._workers(), self._boards()
            for queue in sorted(alive.keys() | outstanding.keys())[:MOST_QUEUES]:
                boards.add_metric([queue], outstanding[queue])
                workers.add_metric([queue], alive[queue])
            found = self.redis.info("memory")
            memory.add_metric(["used"], found["used_memory"])
            memory.add_metric(["max"], found["maxmemory"])
        yield from (boards, workers, memory)

    def _boards(self) -> Counter[str]:
        found: Counter[str] = Counter()
        for key in self.redis.scan_iter(match=f"{BOARDS}*", count=1000, _type="hash"):
            found[key.decode(errors="replace").removeprefix(BOARDS)] = self.redis.hlen(key)
        return found

    def _workers(self) -> Counter[str]:
        keys = self.redis.scan_iter(match=f"{WORKERS}*", count=1000)
        return Counter(key.decode(errors="replace").split(":")[2] for key in keys)

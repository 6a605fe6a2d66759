"""Enqueueing a large job: seconds from its plan to its last message, and the submitter's peak memory.

Redis is on this machine; over a network each batch takes an additional round trip. The peak is that of
the whole submission, including the manifest's hash and plan; the seconds do not include these.
"""

from bench.figures import Figure
from bench.fresh import fresh
from bench.pool.servers import folder, redis
from jobs.queue.broker import Broker, lanes
from jobs.records.message import gpu_queue
from tests.pool.servers import MODEL

SHARDS = 100_000
SECONDS = "≤ 60"
PEAK_MB = "≤ 200"


def measure() -> list[Figure]:
    with folder() as place, redis() as server:
        manifest = str(place / "rows.jsonl")
        fresh("pool.steps.write_manifest", manifest, SHARDS)
        (seconds, count), peak = fresh(
            "pool.steps.put_on_queue", server.url, str(place / "workspace"), manifest, MODEL
        )
        broker = Broker(server.url)
        queue = gpu_queue(MODEL)
        assert count == SHARDS == len(broker.board(queue))
        assert sum(broker.redis.llen(lane) for lane in lanes(queue)) == SHARDS
        held = broker.redis.info("memory")["used_memory"]
    return [
        Figure("enqueue: 100,000 shards", seconds, "s", SECONDS),
        Figure("enqueue: peak memory of the submitter", peak, "MB", PEAK_MB),
        Figure("enqueue: Redis, per shard", held / SHARDS, "B"),
    ]

"""How large a message is, as it lies in Redis."""

import pytest

from jobs.queue.broker import Broker, lanes
from jobs.records.message import PlanJob, ReduceJob, RunShard, gpu_queue
from tests.pool.servers import RedisServer

KILOBYTE = 1000
LONG = "n" * 64 + "-classify-1a2b3c4d"


@pytest.mark.parametrize(
    "message",
    [
        RunShard(task="classify_shard", job_id=LONG, shard=10**8, attempt=99, epoch=999, at=1.9e9 + 1 / 3),
        PlanJob(job_id=LONG, epoch=999, at=1.9e9 + 1 / 3),
        ReduceJob(job_id=LONG, epoch=999, at=1.9e9 + 1 / 3),
    ],
    ids=lambda message: message.task,
)
def test_no_message_has_a_kilobyte_however_long_its_names_are(
    redis_server: RedisServer, message: RunShard | PlanJob | ReduceJob
) -> None:
    broker = Broker(redis_server.url)
    queue = gpu_queue("/models/" + "m" * 200)

    broker.publish(queue, 7, [message])

    [raw] = broker.redis.lrange(lanes(queue)[7], 0, -1)
    assert len(raw) < KILOBYTE, raw
    assert broker.oldest(queue)[7] == message.at

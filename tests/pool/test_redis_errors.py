"""Redis that answers with errors for a while (a failover, no memory) ends no worker and loses no row."""

import json
import re

import pytest
from redis import Redis

from jobs.ledger.results import result_rows
from savs.errors import BrokerError
from tests.pool.servers import Pool, RedisServer, wait_until

TROUBLES = {
    # a failover: the server is a replica for a while, which takes no writes and ends blocking reads
    "read-only": (("REPLICAOF", "127.0.0.1", "1"), ("REPLICAOF", "NO", "ONE")),
    "full": (("CONFIG", "SET", "maxmemory", "1"), ("CONFIG", "SET", "maxmemory", "0")),
}


@pytest.mark.parametrize("trouble", TROUBLES)
def test_workers_wait_until_redis_takes_writes_again(
    pool: Pool, redis_server: RedisServer, trouble: str
) -> None:
    begin, end = TROUBLES[trouble]
    client = Redis.from_url(redis_server.url)
    pool.start("cpu")
    worker = pool.start("gpu", FAKE_BATCH_SECONDS="0.05")
    [_, classify] = pool.submit(rows=200, shard_size=4)
    wait_until(lambda: len(pool.ledger.committed(classify.job_id)) >= 3, "some shards are done")

    # when Redis answers with errors in the middle of a job, until a worker has met one
    seen = len(pool.log(1))
    client.execute_command(*begin)
    wait_until(lambda: re.search("Error|maxmemory", pool.log(1)[seen:]), "the worker has met an error reply")
    client.execute_command(*end)

    # then all workers live, and every row is there once
    wait_until(lambda: pool.finished(classify), "the job has ended", patience=90)
    assert worker.poll() is None
    assert all(one.poll() is None for one in pool.workers)
    found = [json.loads(line)["index"] for line in result_rows(pool.ledger, classify.job_id)]
    assert found == list(range(200))


def test_a_redis_whose_memory_is_full_is_not_called_silent(pool: Pool, redis_server: RedisServer) -> None:
    Redis.from_url(redis_server.url).config_set("maxmemory", 1)

    with pytest.raises(BrokerError) as raised:
        pool.submit(rows=4, shard_size=4)

    assert "takes no writes, because its memory is full; raise maxmemory" in str(raised.value)
    assert "does not answer" not in str(raised.value)

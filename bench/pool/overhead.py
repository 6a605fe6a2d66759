"""Overhead of a shard: one worker, real Celery and Redis, and a forward pass that takes no time.

Measured between one of the first outcomes and the last, so without start-up and loading. The manifest's rows
have no media. A shard has four rows; the figure includes reading and writing them.
"""

from bench.figures import Figure
from bench.pool.observe import watch
from bench.pool.servers import folder, pool, redis, s3, start_workers

SHARDS = 100
SHARD_ROWS = 4
SECONDS = "≤ 0.6"


def measure() -> list[Figure]:
    local = seconds_per_shard()
    with s3():
        remote = seconds_per_shard("s3://workspace/ledger", "s3://corpus/manifests")
    return [
        Figure("overhead: a shard, S3", remote, "s", SECONDS),
        Figure("overhead: a shard, folder", local, "s", SECONDS),
    ]


def seconds_per_shard(workspace: str | None = None, manifests: str | None = None) -> float:
    with folder() as place, redis() as server, pool(server, place, workspace) as workers:
        start_workers(workers, 1, FAKE_BATCH_SECONDS="0")
        _, job = workers.submit(SHARDS * SHARD_ROWS, SHARD_ROWS, folder=manifests)
        run = watch(workers, job, SHARDS)
    assert run.left, "the job ended before it was looked at"
    return (run.last - run.early) / run.left

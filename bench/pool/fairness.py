"""The wait of a small job while the only worker processes a large one.

In one list (FIFO) all of the large job's shards would go first. Also measures how long it takes to cancel
the large job. With one small and one large job, it does not show how well more jobs share the lanes.
"""

import time

from bench.figures import Figure
from bench.pool.servers import folder, pool, redis, start_workers
from bench.pool.steps import write_manifest
from jobs.queue.enqueue import cancel_job, enqueue_due
from jobs.records.job import Job
from jobs.submit.submission import classify_job, submit
from tests.pool.servers import MODEL, Pool, wait_until

LARGE, SMALL = 100_000, 3  # shards, of one row each
BATCH_SECONDS = 0.05
BUSY = 20  # shards of the large job that are done before the small one is submitted
AHEAD = "≤ 10"  # one per shard of the small job, and those that the worker has already claimed
PATIENCE = 300.0  # seconds


def measure() -> list[Figure]:
    with folder() as place, redis() as server, pool(server, place) as workers:
        start_workers(workers, 1, FAKE_BATCH_SECONDS=str(BATCH_SECONDS))
        fit, warm_up = workers.submit(SMALL, 1)
        wait_until(lambda: workers.finished(warm_up), "the artifact exists", PATIENCE)
        artifact = workers.ledger.artifact_url("pets", fit.job_id)
        large = written(workers, "large", LARGE, artifact)
        small = written(workers, "small", SMALL, artifact)
        enqueue_due(workers.ledger, workers.broker, [large])
        board = workers.broker.board(workers.queue)
        wait_until(lambda: board.left(large.job_id) <= LARGE - BUSY, "the large job is running", PATIENCE)

        before, began = board.left(large.job_id), time.monotonic()
        enqueue_due(workers.ledger, workers.broker, [small])
        wait_until(lambda: not board.left(small.job_id), "the small job's shards have outcomes", PATIENCE)
        seconds, passed = time.monotonic() - began, before - board.left(large.job_id)
        waiting = board.left(large.job_id)

        began = time.monotonic()
        cancel_job(workers.ledger, workers.broker, large)
        cancelling = time.monotonic() - began
        assert not board.left(large.job_id)
    return [
        Figure("fairness: shards done before the small job", passed, "shards", AHEAD),
        Figure("fairness: the small job's 3 shards", seconds, "s"),
        Figure("fairness: shards that FIFO does first", waiting, "shards"),
        Figure("fairness: cancelling the large job", cancelling, "s"),
    ]


def written(workers: Pool, name: str, shards: int, artifact: str) -> Job:
    """Return a job that is in the ledger but not yet on the queue."""
    manifest = str(workers.workspace.parent / f"{name}.jsonl")
    write_manifest(manifest, shards)
    job = classify_job(name, MODEL, manifest, artifact, shard_size=1, batch_tokens=1)
    return submit(workers.ledger, [job])[0]

"""Speed-up of two workers over one, between the first claim and the last outcome.

The same pool and ledger (a folder), first with one worker and then with two, with models loaded. The work is
sleep, as a forward pass on a GPU leaves the processor idle; the workers share Redis, the ledger's folder and
the two cores. It does not measure many workers or a real S3.
"""

from bench.figures import Figure
from bench.pool.observe import Run, watch
from bench.pool.servers import folder, pool, redis, start_workers
from tests.pool.servers import Pool

SHARDS = 200
SHARD_ROWS = 4  # one batch
BATCH_SECONDS = 1.0
SPEED_UP = "≥ 1.9"


def measure() -> list[Figure]:
    with folder() as place, redis() as server, pool(server, place) as workers:
        took = []
        for round_number in (1, 2):
            start_workers(workers, 1, FAKE_BATCH_SECONDS=str(BATCH_SECONDS))
            run = run_job(workers, f"cat-{round_number}")
            took.append(run.last - run.claimed)
    one, two = took
    return [
        Figure("scaling: 200 shards of 1 s, 1 worker", one, "s"),
        Figure("scaling: 200 shards of 1 s, 2 workers", two, "s"),
        Figure("scaling: speed-up", one / two, "×", SPEED_UP),
    ]


def run_job(workers: Pool, prefix: str) -> Run:
    """Run a job. Each prefix gives another manifest and therefore another job."""
    _, job = workers.submit(SHARDS * SHARD_ROWS, SHARD_ROWS, lambda i: f"{prefix}-{i}")
    return watch(workers, job, SHARDS)

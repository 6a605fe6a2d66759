"""Times at which a job's shards are claimed and done, read from the board while workers run."""

import time
from collections.abc import Callable
from dataclasses import dataclass

from bench.pool.servers import START_PATIENCE
from jobs.records.job import Job
from tests.pool.servers import Pool, wait_until

LOOK = 0.005  # seconds between two reads of the board


@dataclass(frozen=True)
class Run:
    """Seconds on this process' clock: the first claim of a shard, an early outcome, and the last; and how
    many shards were left at the early one."""

    claimed: float
    early: float
    last: float
    left: int


def watch(workers: Pool, job: Job, shards: int) -> Run:
    """Poll the board until every shard of the job has an outcome. Call it before the first one has.

    Raises AssertionError if rows of the job have no label: then the time is not that of the work.
    """
    board, job_id = workers.broker.board(workers.queue), job.job_id
    # Not until all of them are: a worker may have ended the first by the next look.
    wait_until(lambda: board.left(job_id) or workers.finished(job), "the job is on the board", START_PATIENCE)
    claimed = _moment(lambda: (entry := board.entry(job_id, "0")) is None or entry.state == "running")
    early, left = _moment(lambda: board.left(job_id) < shards), board.left(job_id)
    last = _moment(lambda: board.left(job_id) == 0)
    wait_until(lambda: workers.finished(job), "the job is reduced", START_PATIENCE)
    summary = workers.ledger.summary(job_id)
    assert summary and summary["status"] == "done" and summary["labelled"] == summary["rows"] > 0, summary
    assert len(workers.ledger.committed(job_id)) == shards
    return Run(claimed, early, last, left)


def _moment(come: Callable[[], bool]) -> float:
    while not come():
        time.sleep(LOOK)
    return time.monotonic()

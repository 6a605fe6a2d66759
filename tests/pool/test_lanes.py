"""Jobs are served in turn, and what one of them loses is put back whatever the others have waiting."""

from pathlib import Path

from jobs.queue.broker import lanes
from jobs.queue.enqueue import enqueue_due
from jobs.queue.timeouts import Timeouts
from jobs.records.job import Job
from jobs.run.sweep import sweep
from jobs.submit.submission import extract_job, submit
from tests.pool.servers import MODEL, Pool, wait_until, write_manifest


def job_of(pool: Pool, name: str, shards: int) -> Job:
    """A job of so many shards of one row, on the queue."""
    train = write_manifest(
        f"{pool.workspace.parent}/{name}.jsonl", shards, lambda i: f"{('cat', 'dog')[i % 2]}-{name}-{i}"
    )
    [job] = submit(
        pool.ledger,
        [extract_job(name, MODEL, train, heads=2, readout="reference", shard_size=1, batch_tokens=1)],
    )
    enqueue_due(pool.ledger, pool.broker, [job])
    return job


def ended(pool: Pool, job: Job) -> list[float]:
    """When each shard that has ended did, first to last."""
    folder = Path(pool.workspace) / "jobs" / job.job_id / "commits"
    return sorted(path.stat().st_mtime for path in folder.glob("*.json"))


def waiting(pool: Pool) -> list[int]:
    return [int(pool.broker.redis.llen(lane)) for lane in lanes(pool.queue)]


def test_a_job_of_many_shards_does_not_delay_a_small_one(pool: Pool) -> None:
    # given one worker, and a large job that was submitted before two small ones
    large = job_of(pool, "large", 60)
    small = [job_of(pool, name, 3) for name in ("small", "tiny")]
    assert sorted(waiting(pool), reverse=True)[:4] == [60, 3, 3, 0]

    pool.start("gpu")

    wait_until(lambda: all(len(ended(pool, job)) == 3 for job in small), "the small jobs are done")
    wait_until(lambda: len(ended(pool, large)) >= 10, "the large one goes on")
    for job in small:
        before = sum(moment < ended(pool, job)[-1] for moment in ended(pool, large))
        assert before <= 5, f"{before} shards of the large job were run before three of {job.job_id}"


def test_what_is_lost_in_one_lane_is_put_back_though_another_is_full_of_older_messages(pool: Pool) -> None:
    times = Timeouts(no_life=0.5)
    job_of(pool, "old", 30)
    old = waiting(pool)
    lost = job_of(pool, "lost", 4)
    [lane] = [n for n, (before, now) in enumerate(zip(old, waiting(pool), strict=True)) if before != now]

    # when the messages of the younger job are lost, and no worker lives
    pool.broker.redis.delete(lanes(pool.queue)[lane])
    start = pool.broker.board("any").time()
    wait_until(lambda: pool.broker.board("any").time() > start + 0.6, "the limit has passed")
    for _ in range(3):
        sweep(pool.ledger, pool.broker, times)

    # then they are there again, once, and nobody else's are there twice
    assert waiting(pool)[lane] == 4
    assert sum(waiting(pool)) == 34
    entries = [e for e in pool.broker.board(pool.queue).entries() if e.job_id == lost.job_id]
    assert {(e.state, e.epoch, e.lane) for e in entries} == {("queued", 2, lane)}

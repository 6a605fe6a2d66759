"""The sweep goes on beside what is unreadable, and leaves nothing on the board that nobody will finish."""

from dataclasses import replace
from pathlib import Path

import pytest

from jobs.queue.enqueue import enqueue_due
from jobs.queue.timeouts import Timeouts
from jobs.records.job import Job
from jobs.records.message import CPU_QUEUE, ReduceJob
from jobs.run.advance import attempt_to_advance
from jobs.run.sweep import sweep
from tests.jobs.ledgers import classify_job, plan_of, row, summary_of, write_outcome
from tests.pool.servers import Pool, cpu_worker, wait_until
from workers.monitoring.pool_metrics import PoolState

TIMES = Timeouts(no_life=0.2)
QUEUE = "savs.gpu.demo"


def job_of(pool: Pool, name: str, done: bool = False) -> Job:
    """A job of two shards, handed to the pool; with `done`, both have an outcome."""
    ledger = pool.ledger
    job = ledger.create_job(classify_job(name), plan_of(2, 2))
    if done:
        for shard in (0, 1):
            write_outcome(ledger, job, shard, [row(2 * shard, "cat"), row(2 * shard + 1, "dog")])
    enqueue_due(ledger, pool.broker, [job])
    return job


def pass_the_limit(pool: Pool) -> None:
    board = pool.broker.board("any")
    start = board.time()
    wait_until(lambda: board.time() > start + TIMES.no_life + 0.1, "the limit has passed")


def lose_all_messages(pool: Pool) -> None:
    for key in pool.broker.redis.keys("savs.*"):
        pool.broker.redis.delete(key)


@pytest.mark.parametrize("file", ["job.json", "shards.json", "commits/0000000.json", "summary.json"])
def test_a_spoilt_job_does_not_keep_the_sweep_from_the_others(pool: Pool, file: str) -> None:
    # given three jobs whose messages were all lost, and the second one unreadable
    jobs = [job_of(pool, name) for name in ("cats", "dogs", "owls")]
    lose_all_messages(pool)
    path = Path(pool.workspace) / "jobs" / jobs[1].job_id / file
    path.parent.mkdir(exist_ok=True)
    path.write_text("{")
    pass_the_limit(pool)

    sweep(pool.ledger, pool.broker, TIMES)

    requeued = {e.job_id for e in pool.broker.board(QUEUE).entries() if e.epoch == 2}
    assert {jobs[0].job_id, jobs[2].job_id} <= requeued


@pytest.mark.parametrize("unreadable", ["job.json", "shards.json"])
def test_a_job_that_is_done_stays_done_whatever_is_wrong_with_another(pool: Pool, unreadable: str) -> None:
    # given a job with all its outcomes, and an unreadable one that waits for it
    first = job_of(pool, "cats", done=True)
    ledger = pool.ledger
    waiting = ledger.create_job(classify_job("dogs", after=first.job_id), plan_of(2))
    ledger.activate(waiting.job_id)
    (Path(pool.workspace) / "jobs" / waiting.job_id / unreadable).write_text("{")

    word = attempt_to_advance(cpu_worker(pool), ReduceJob(job_id=first.job_id))

    assert word == "done"
    summary = ledger.summary(first.job_id)
    assert summary is not None and (summary["status"], summary["labelled"]) == ("done", 4)


def test_what_a_worker_left_on_the_board_when_it_died_after_the_jobs_end_is_taken_off(pool: Pool) -> None:
    # given a job that is reduced by one who dies before the board knows
    job = job_of(pool, "cats", done=True)
    board = pool.broker.board(CPU_QUEUE)
    assert board.claim(job.job_id, "reduce", 1) == 1
    pool.ledger.write_summary(job.job_id, summary_of(job))
    pool.ledger.deactivate(job.job_id)

    sweep(pool.ledger, pool.broker, TIMES)
    assert len(board) == 1, "it may be about to finish"
    pass_the_limit(pool)
    sweep(pool.ledger, pool.broker, TIMES)

    assert len(board) == 0


def test_an_active_mark_without_a_job_does_no_harm(pool: Pool) -> None:
    pool.ledger.activate("gone-classify-00000000")
    job = job_of(pool, "cats")
    lose_all_messages(pool)
    pass_the_limit(pool)

    sweep(pool.ledger, pool.broker, TIMES)

    assert {(e.job_id, e.epoch) for e in pool.broker.board(QUEUE).entries()} == {(job.job_id, 2)}


def test_a_shard_that_the_sweep_gives_up_is_counted_for_prometheus(pool: Pool) -> None:
    job = job_of(pool, "cats")
    assert given_up(pool) == 0

    # a process was killed with it, for the last time
    pool.broker.board(QUEUE).claim(job.job_id, "0", 1)
    pass_the_limit(pool)
    sweep(pool.ledger, pool.broker, replace(TIMES, attempts=1))

    outcome = pool.ledger.outcome(job.job_id, 0)
    assert outcome is not None and "no heartbeat" in (outcome.reason or "")
    assert given_up(pool) == 1


def given_up(pool: Pool) -> float:
    told = {one.name: one for one in PoolState(pool.broker.redis).collect()}
    return float(told["savs_pool_given_up_shards"].samples[0].value)

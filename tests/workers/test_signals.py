"""Signals that reach a worker's processes: its shard goes back, uncounted, and nothing is left behind."""

import os
import signal
import time
from pathlib import Path

import pytest

from jobs.records.job import Job
from tests.pool.servers import Pool, WorkerProcess, children, wait_until


def at_work(pool: Pool) -> tuple[WorkerProcess, Job]:
    """A worker in the middle of a shard of a classify job."""
    pool.start("cpu")
    worker = pool.start("gpu", FAKE_BATCH_SECONDS="0.4")
    [_, classify] = pool.submit(rows=80, shard_size=40)
    board = pool.broker.board(pool.queue)
    wait_until(
        lambda: any(e.state == "running" and e.job_id == classify.job_id for e in board.entries()),
        "a shard runs",
    )
    return worker, classify


@pytest.mark.kill
@pytest.mark.parametrize("name", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_to_the_whole_group_costs_no_attempt(pool: Pool, name: signal.Signals) -> None:
    for _ in range(3):  # as often as a shard may be attempted
        worker, classify = at_work(pool)

        os.killpg(worker.pid, name)
        worker.wait(timeout=20)

        board = pool.broker.board(pool.queue)
        assert {(e.state, e.attempts) for e in board.entries()} == {("queued", 0)}
    pool.start("gpu")
    wait_until(lambda: pool.finished(classify), "the classify job has a summary")
    summary = pool.ledger.summary(classify.job_id)
    assert summary is not None and (summary["status"], summary["labelled"]) == ("done", 80)


def test_a_worker_that_is_told_to_end_at_once_does(pool: Pool) -> None:
    worker, classify = at_work(pool)
    start = time.monotonic()

    worker.send_signal(signal.SIGQUIT)
    worker.wait(timeout=20)

    assert time.monotonic() - start < 10
    assert {(e.state, e.attempts) for e in pool.broker.board(pool.queue).entries()} == {("queued", 0)}
    pool.start("gpu")
    wait_until(lambda: pool.finished(classify), "the classify job has a summary")


def test_a_hangup_ends_a_cpu_worker_and_its_sweeper(pool: Pool) -> None:
    worker = pool.start("cpu")
    wait_until(lambda: "ready" in pool.log(0), "it is ready")
    left = children(worker)
    assert len(left) >= 2  # the sweeper, and the process that plans

    worker.send_signal(signal.SIGHUP)
    worker.wait(timeout=20)

    wait_until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in left), "all have ended")

"""The sweeper is looked after: without it nothing that is lost would be put back."""

import logging
import os
import signal

import pytest

from jobs.queue.board import WARNED
from tests.pool.servers import Pool, wait_until
from tests.pool.test_sweeping import QUEUE, job_of, lose_all_messages
from tests.workers.looking import sweepers
from workers.sweeper import RESTARTS


def test_a_killed_sweeper_is_started_again_and_sweeps(pool: Pool) -> None:
    worker = pool.start("cpu")
    wait_until(lambda: "ready, queue" in pool.log(0), "the worker is ready")
    [sweeper] = sweepers(worker)

    os.kill(sweeper, signal.SIGKILL)
    wait_until(lambda: sweepers(worker) not in ([], [sweeper]), "there is another")
    job_of(pool, "cats")
    lose_all_messages(pool)

    board = pool.broker.board(QUEUE)
    wait_until(lambda: 2 in {e.epoch for e in board.entries()}, "it sweeps")
    assert "the sweeper ended with exit code -9 and is restarted" in pool.log(0)
    assert worker.poll() is None


def test_a_worker_whose_sweeper_ends_again_and_again_ends_too(pool: Pool) -> None:
    worker = pool.start("cpu")
    wait_until(lambda: "ready, queue" in pool.log(0), "the worker is ready")

    def kill_the_sweeper() -> bool:
        for sweeper in sweepers(worker):
            os.kill(sweeper, signal.SIGKILL)
        return worker.poll() is not None

    wait_until(kill_the_sweeper, "the worker ends")
    assert worker.poll() == 1
    assert pool.log(0).count("and is restarted") == RESTARTS
    assert "the sweeper ended with exit code -9 too often; this worker ends too" in pool.log(0)


def test_what_is_written_on_the_board_by_strangers_stops_no_sweep(pool: Pool) -> None:
    # given strange fields on the board of a cpu worker, and a job whose messages are lost
    strange = {"field": "7", "job/3": "{", "job/plan": "[]", "job/4": '{"state": "gone"}', b"\xff/1": b"\xff"}
    strange["job/5"] = '{"state": "queued", "epoch": 1, "attempts": 0, "at": 0, "lane": 99}'
    strange["job/x"] = strange["job/5"].replace("99", "0")
    strange["job/6"] = "[" * 100_000
    job_of(pool, "cats")
    for field, value in strange.items():
        pool.broker.redis.hset(f"savs:outstanding:{QUEUE}", field, value)
    lose_all_messages(pool)

    pool.start("cpu")

    # then what is lost is put back, and one line says what is strange
    board = pool.broker.board(QUEUE)
    wait_until(lambda: {e.epoch for e in board.entries()} == {2}, "it sweeps")
    looks = scans(pool)
    wait_until(lambda: scans(pool) > looks + 4, "it sweeps again")
    assert pool.log(0).count("has a field that is not from savs") == 1
    assert "sweep failed" not in pool.log(0)


def scans(pool: Pool) -> int:
    """How often boards were read."""
    return int(pool.broker.redis.info("commandstats")["cmdstat_hscan"]["calls"])


def test_a_sweep_that_fails_in_a_way_that_nobody_foresaw_is_repeated(pool: Pool) -> None:
    job_of(pool, "cats")
    lose_all_messages(pool)

    pool.start("cpu", FAKE_SWEEP_FAILS="2")

    board = pool.broker.board(QUEUE)
    wait_until(lambda: 2 in {e.epoch for e in board.entries()}, "it sweeps")
    assert pool.log(0).count("sweep failed, will be repeated") == 2
    assert pool.log(0).count("AttributeError: nobody thought of it") == 2


@pytest.fixture(autouse=True)
def unwarned() -> None:
    WARNED.clear()


def test_a_board_with_strange_fields_is_read_as_far_as_it_can_be(
    pool: Pool, caplog: pytest.LogCaptureFixture
) -> None:
    board = pool.broker.board(QUEUE)
    list(board.enqueue("job", ["0", "1"]))
    pool.broker.redis.hset(board.key, "job/2", '{"epoch": 1}')

    for _ in range(3):
        assert {entry.unit for entry in board.entries()} == {"0", "1"}
    assert board.entry("job", "2") is None

    [record] = [record for record in caplog.records if record.levelno == logging.WARNING]
    assert f"savs:outstanding:{QUEUE}: has a field that is not from savs, 'job/2'" in record.getMessage()

"""What a lost process had goes back at once, once, and with the reason where it was the last attempt."""

import logging
import signal
import threading
import time

import pytest
from billiard.exceptions import TimeLimitExceeded, WorkerLostError

from jobs.queue.board import BoardEntry
from jobs.queue.publisher import shard_message
from jobs.queue.timeouts import Timeouts
from jobs.records.job import Job
from jobs.records.message import RunShard
from jobs.run.sweep import sweep
from tests.pool.servers import Pool, queue_length
from workers.messages.release import PARENT_TIMEOUT, release, why_lost
from workers.settings import WorkerSettings


def settings_of(pool: Pool, attempts: int = 3) -> WorkerSettings:
    return WorkerSettings(pool.redis.url, pool.address, pool.queue, times=Timeouts(attempts=attempts))


def message_of(pool: Pool, job: Job, epoch: int = 1) -> RunShard:
    return shard_message(job, 0, epoch, 0.0)


def sent(message: RunShard) -> list[object]:
    """A task's arguments, as the parent has them."""
    return [message.model_dump(mode="json")]


def entry_of(pool: Pool, job: Job) -> BoardEntry:
    entry = pool.broker.board(pool.queue).entry(job.job_id, "0")
    assert entry is not None
    return entry


def test_a_unit_goes_back_once_however_often_its_loss_is_told(pool: Pool) -> None:
    # given a shard that runs
    [job, _] = pool.submit(rows=4, shard_size=4)
    message, waiting = message_of(pool, job), queue_length(pool)
    pool.broker.board(pool.queue).claim(job.job_id, "0", 1)

    # when its process is lost, which Celery tells twice
    for _ in range(2):
        release(settings_of(pool), sent(message), "its process was killed")

    # then it waits under the next epoch, with one message
    entry = entry_of(pool, job)
    assert (entry.state, entry.epoch, entry.attempts) == ("queued", 2, 1)
    assert queue_length(pool) == waiting + 1


def test_a_unit_lost_before_it_was_claimed_goes_back_and_the_attempt_counts(pool: Pool) -> None:
    [job, _] = pool.submit(rows=4, shard_size=4)

    release(settings_of(pool), sent(message_of(pool, job)), "its process was killed")

    entry = entry_of(pool, job)
    assert (entry.state, entry.epoch, entry.attempts) == ("queued", 2, 1)


def test_a_unit_lost_in_its_last_attempt_is_given_up_by_the_next_sweep_with_the_reason(pool: Pool) -> None:
    [job, _] = pool.submit(rows=4, shard_size=4)
    board, waiting = pool.broker.board(pool.queue), queue_length(pool)
    board.claim(job.job_id, "0", 1)

    release(settings_of(pool, attempts=1), sent(message_of(pool, job)), "took longer than its time limit")
    late = board.touch(job.job_id, "0", 1)
    sweep(pool.ledger, pool.broker, Timeouts())  # of one that would try more often

    outcome = pool.ledger.outcome(job.job_id, 0)
    assert outcome is not None
    assert (outcome.status, outcome.reason) == ("failed", "attempt 1 of 1: took longer than its time limit")
    assert not late and board.entry(job.job_id, "0") is None
    assert queue_length(pool) == waiting


def test_a_unit_of_a_worker_that_had_to_stop_costs_no_attempt(pool: Pool) -> None:
    [job, _] = pool.submit(rows=4, shard_size=4)
    pool.broker.board(pool.queue).claim(job.job_id, "0", 1)

    release(settings_of(pool, attempts=1), sent(message_of(pool, job)), "it had to stop", refund=True)

    assert (entry_of(pool, job).state, entry_of(pool, job).attempts) == ("queued", 0)


def test_what_is_anothers_by_now_or_nobodys_stays_as_it_is(pool: Pool) -> None:
    [job, _] = pool.submit(rows=4, shard_size=4)
    before, waiting = entry_of(pool, job), queue_length(pool)
    strangers = message_of(pool, job).model_copy(update={"job_id": "no-extract-00000000"})

    release(settings_of(pool), sent(message_of(pool, job, epoch=2)), "its process was killed")
    release(settings_of(pool), sent(strangers), "its process was killed")
    for nonsense in ([], [{}], None, ["x"], 7):
        release(settings_of(pool), nonsense, "its process was killed")

    assert entry_of(pool, job) == before
    assert queue_length(pool) == waiting


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGSTOP])
def test_a_redis_that_is_gone_or_stalled_holds_the_parent_up_for_seconds_at_most(
    pool: Pool, caplog: pytest.LogCaptureFixture, how: signal.Signals
) -> None:
    [job, _] = pool.submit(rows=4, shard_size=4)
    assert pool.redis.process is not None
    pool.redis.process.send_signal(how)
    threads = threading.active_count()

    began = time.monotonic()
    release(settings_of(pool), sent(message_of(pool, job)), "its process was killed")

    assert time.monotonic() - began < 2 * PARENT_TIMEOUT
    assert threading.active_count() == threads
    [record] = [record for record in caplog.records if record.levelno == logging.WARNING]
    assert record.getMessage().startswith("left to the sweep: its process was killed; cannot requeue now: ")


def test_a_reason_says_what_became_of_the_process() -> None:
    killed = WorkerLostError("Worker exited prematurely: signal 9 (SIGKILL) Job: 7.")

    assert why_lost(killed) == "its process was killed, signal 9 (SIGKILL)"
    assert why_lost(TimeLimitExceeded(90.5)) == (
        "took longer than the time limit of 90.5 s (SAVS_SHARD_TIME_LIMIT)"
    )
    assert why_lost(ValueError("of the task itself")) is None

"""The faults of the queue that a pool must end well, each a test named after it."""

import json
import os
import signal

from jobs.broker import Broker, gpu_queue
from jobs.sweeping import enqueue_due, sweep
from tests.workers.conftest import MODEL, TIMES, Pool, RedisServer, children, queue_length, wait_until


def rows(pool: Pool, job_id: str) -> list[dict]:
    return [json.loads(line) for line in pool.ledger.rows(job_id)]


def ends_well(pool: Pool, count: int) -> None:
    """Every row once, in order, and all of them labelled."""
    job = pool.ledger.jobs("pets")[-1]
    found = rows(pool, job.job_id)
    assert [row["index"] for row in found] == list(range(count))
    assert all(row["prediction"] for row in found)
    assert pool.ledger.summary(job.job_id)["status"] == "done"
    assert len(pool.broker.board(gpu_queue(MODEL))) == 0


def test_a_pool_runs_both_jobs_to_their_end(pool: Pool) -> None:
    pool.start("cpu")
    pool.start("gpu")

    [_, classify] = pool.submit(rows=60, shard_size=10)

    wait_until(lambda: pool.finished(classify), "the classify job has a summary")
    ends_well(pool, 60)
    assert pool.starts(classify) == 6


def test_fault_1_a_worker_killed_in_a_shard_costs_one_more_attempt(pool: Pool) -> None:
    pool.start("cpu")
    victim = pool.start("gpu", FAKE_BATCH_SECONDS="0.3")
    [_, classify] = pool.submit(rows=60, shard_size=20)
    wait_until(lambda: len(pool.ledger.committed(classify.job_id)) >= 1, "a first shard is done")

    os.killpg(victim.pid, signal.SIGKILL)
    pool.start("gpu")

    wait_until(lambda: pool.finished(classify), "the classify job has a summary")
    ends_well(pool, 60)


def test_fault_2_a_killed_child_is_replaced_and_its_shard_run_again(pool: Pool) -> None:
    pool.start("cpu")
    worker = pool.start("gpu", FAKE_BATCH_SECONDS="0.3", FAKE_LOAD_SECONDS="5")
    [_, classify] = pool.submit(rows=60, shard_size=20)
    wait_until(lambda: len(pool.ledger.committed(classify.job_id)) >= 1, "a first shard is done")

    [child] = children(worker)
    os.kill(child, signal.SIGKILL)

    wait_until(lambda: pool.finished(classify), "the classify job has a summary")
    ends_well(pool, 60)
    assert worker.poll() is None


def test_fault_6_a_worker_told_to_stop_gives_its_shard_back_between_batches(pool: Pool) -> None:
    pool.start("cpu")
    worker = pool.start("gpu", FAKE_BATCH_SECONDS="0.4")
    [_, classify] = pool.submit(rows=80, shard_size=40)
    board = pool.broker.board(gpu_queue(MODEL))
    wait_until(
        lambda: any(e.state == "running" and e.job_id == classify.job_id for e in board.entries()),
        "a shard runs",
    )

    worker.send_signal(signal.SIGTERM)
    worker.wait(timeout=10)

    states = {e.unit: (e.state, e.attempts) for e in board.entries()}
    assert states and all(state == ("queued", 0) for state in states.values())
    pool.start("gpu")
    wait_until(lambda: pool.finished(classify), "the classify job has a summary")
    ends_well(pool, 80)
    assert pool.starts(classify) == 2


def test_fault_8_workers_go_on_by_themselves_when_redis_comes_back(pool: Pool) -> None:
    pool.start("cpu")
    pool.start("gpu", FAKE_BATCH_SECONDS="0.2")
    [_, classify] = pool.submit(rows=80, shard_size=8)
    wait_until(lambda: len(pool.ledger.committed(classify.job_id)) >= 2, "two shards are done")

    pool.redis.kill()
    pool.redis.start()

    wait_until(lambda: pool.finished(classify), "the classify job has a summary")
    ends_well(pool, 80)


def test_fault_9_an_emptied_redis_is_filled_again_from_the_ledger(pool: Pool) -> None:
    pool.start("cpu")
    pool.start("gpu", FAKE_BATCH_SECONDS="0.2")
    [_, classify] = pool.submit(rows=80, shard_size=8)
    wait_until(lambda: len(pool.ledger.committed(classify.job_id)) >= 2, "two shards are done")

    pool.broker.redis.flushall()

    wait_until(lambda: pool.finished(classify), "the classify job has a summary")
    ends_well(pool, 80)


def test_fault_11_a_shard_that_kills_every_worker_is_given_up_and_named(pool: Pool) -> None:
    pool.start("cpu")
    pool.start("gpu")
    names = [f"{['cat', 'dog', 'owl'][i % 3]}-{i}" for i in range(30)]
    names[12] += "-deadly"

    [_, classify] = pool.submit(rows=30, shard_size=10, ids=lambda i: names[i])

    wait_until(lambda: pool.finished(classify), "the classify job has a summary", patience=90)
    summary = pool.ledger.summary(classify.job_id)
    assert summary["status"] == "incomplete"
    assert [(lost["first_index"], lost["rows"]) for lost in summary["missing"]] == [(10, 10)]
    assert summary["labelled"] == 20


def test_fault_14_waiting_shards_are_not_published_again(redis_server: RedisServer, pool: Pool) -> None:
    # given jobs that wait, for no worker is there
    first, second = pool.submit(rows=40, shard_size=10)
    waiting = queue_length(pool)

    # when sweeps find them older than the no-life limit
    broker = Broker(redis_server.url)
    start = broker.board("any").time()
    wait_until(lambda: broker.board("any").time() > start + TIMES.no_life + 0.5, "the limit has passed")
    for _ in range(5):
        sweep(pool.ledger, broker, TIMES)
    enqueue_due(pool.ledger, broker, [first, second])

    # then there is still one message for each
    assert queue_length(pool) == waiting == 2


def test_a_worker_whose_model_cannot_be_loaded_says_so_and_ends(pool: Pool) -> None:
    worker = pool.start("gpu", model="broken")

    assert worker.wait(timeout=20) == 1
    assert "RuntimeError: no such weights" in pool.log(0)


def test_a_worker_does_not_take_a_shard_before_its_model_is_loaded(pool: Pool) -> None:
    [extract, _] = pool.submit(rows=10, shard_size=10)
    worker = pool.start("gpu", FAKE_LOAD_SECONDS="4")

    wait_until(lambda: children(worker), "the child has started")

    assert queue_length(pool) == 2
    wait_until(lambda: len(pool.ledger.committed(extract.job_id)) == 2, "it works once it is loaded")

"""The faults of the queue that a pool must end well, each a test named after it."""

import json
import os
import signal
import time
from pathlib import Path

import pytest

from jobs.broker import Broker, gpu_queue
from jobs.enqueueing import cancel_job, enqueue_due
from jobs.results import result_rows
from jobs.submitting import classify_job as new_classify_job
from jobs.submitting import submit
from jobs.sweeping import sweep
from savs.errors import BrokerError
from tests.workers.conftest import MODEL, TIMES, Pool, RedisServer, children, queue_length, wait_until


def rows(pool: Pool, job_id: str) -> list[dict]:
    return [json.loads(line) for line in result_rows(pool.ledger, job_id)]


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


def test_fault_3_a_child_killed_while_redis_is_down_loses_no_shard(pool: Pool) -> None:
    pool.start("cpu")
    worker = pool.start("gpu", FAKE_BATCH_SECONDS="0.3")
    [_, classify] = pool.submit(rows=60, shard_size=20)
    wait_until(lambda: len(pool.ledger.committed(classify.job_id)) >= 1, "a first shard is done")
    [child] = children(worker)

    pool.redis.kill()
    os.kill(child, signal.SIGKILL)
    wait_until(lambda: child not in children(worker), "the child is gone")
    pool.redis.start()

    wait_until(lambda: pool.finished(classify), "the classify job has a summary", patience=90)
    ends_well(pool, 60)


def test_fault_4_a_message_taken_by_a_frozen_worker_is_put_back(pool: Pool) -> None:
    # given an idle worker that freezes while it waits for a message
    frozen = pool.start("gpu")
    wait_until(lambda: len(pool.broker.redis.client_list()) >= 2 and children(frozen), "it is connected")
    wait_until(lambda: any(c["cmd"] == "brpop" for c in pool.broker.redis.client_list()), "it waits")
    os.kill(frozen.pid, signal.SIGSTOP)

    # when Redis has given it a shard, and it is killed
    [_, classify] = pool.submit(rows=20, shard_size=20)
    wait_until(lambda: queue_length(pool) < 2, "a message was taken")
    os.killpg(frozen.pid, signal.SIGKILL)
    pool.start("cpu")
    pool.start("gpu")

    # then the shard runs all the same
    wait_until(lambda: pool.finished(classify), "the classify job has a summary")
    ends_well(pool, 20)


def test_fault_5_a_shard_longer_than_every_limit_is_started_once(pool: Pool) -> None:
    # given batches of 3 s, shards of 12 s, and a limit of 2 s without a sign of life
    pool.start("cpu")
    for _ in range(3):
        pool.start("gpu", FAKE_BATCH_SECONDS="3")
    board = pool.broker.board(gpu_queue(MODEL))
    seen = set()

    [_, classify] = pool.submit(rows=16, shard_size=16)

    def done() -> bool:
        seen.update((e.epoch, e.attempts) for e in board.entries())
        return pool.finished(classify)

    wait_until(done, "the classify job has a summary", patience=60)
    ends_well(pool, 16)
    assert pool.starts(classify) == 1
    assert max(epoch for epoch, _ in seen) == 1
    assert max(attempts for _, attempts in seen) == 1


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


def test_fault_7_a_worker_asleep_past_every_limit_wakes_up_to_one_outcome(pool: Pool) -> None:
    pool.start("cpu")
    sleeper = pool.start("gpu", FAKE_BATCH_SECONDS="0.5")
    [_, classify] = pool.submit(rows=24, shard_size=24)
    board = pool.broker.board(gpu_queue(MODEL))
    wait_until(
        lambda: any(e.state == "running" and e.job_id == classify.job_id for e in board.entries()),
        "the shard runs",
    )

    os.killpg(sleeper.pid, signal.SIGSTOP)
    pool.start("gpu")
    wait_until(lambda: pool.finished(classify), "another worker ran the shard")
    before = rows(pool, classify.job_id)
    os.killpg(sleeper.pid, signal.SIGCONT)
    wait_until(lambda: "superseded" in pool.log(1) or pool.starts(classify) == 2, "the sleeper is done")

    assert rows(pool, classify.job_id) == before
    assert len(list(pool.ledger.outcomes(classify.job_id))) == 1
    ends_well(pool, 24)


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


def test_fault_10_a_stalled_redis_is_an_error_within_ten_seconds_and_submitting_again_is_safe(
    pool: Pool,
) -> None:
    jobs = pool.submit(rows=20, shard_size=10)
    pool.broker.redis.flushall()
    assert pool.redis.process is not None

    pool.redis.process.send_signal(signal.SIGSTOP)
    began = time.monotonic()
    with pytest.raises(BrokerError, match="submitting again is safe"):
        enqueue_due(pool.ledger, pool.broker, jobs)
    took = time.monotonic() - began
    pool.redis.process.send_signal(signal.SIGCONT)
    enqueue_due(pool.ledger, pool.broker, jobs)

    assert took < 10
    assert queue_length(pool) == len(pool.broker.board(gpu_queue(MODEL))) == 2


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


@pytest.mark.parametrize("moment", ["before commit", "after commit"])
def test_fault_13_a_worker_killed_around_its_commit_leaves_one_outcome(pool: Pool, moment: str) -> None:
    died = pool.workspace.parent / "died"
    pool.start("cpu")
    pool.start("gpu", FAKE_DIE=moment, FAKE_DIED=str(died))

    [_, classify] = pool.submit(rows=20, shard_size=10)

    wait_until(lambda: pool.finished(classify), "the classify job has a summary")
    assert died.exists()
    ends_well(pool, 20)


def test_fault_12_a_storage_error_costs_an_attempt_and_not_the_shard(pool: Pool) -> None:
    pool.start("cpu")
    pool.start("gpu", FAKE_DIED=str(pool.workspace.parent / "met"))

    [_, classify] = pool.submit(rows=6, shard_size=3, ids=lambda i: f"cat-{i}{'-unlucky' * (i == 4)}")

    wait_until(lambda: pool.finished(classify), "the classify job has a summary")
    assert (pool.workspace.parent / "met").exists()
    ends_well(pool, 6)


def test_a_shard_that_always_fails_is_given_up_with_its_reason(pool: Pool) -> None:
    pool.start("cpu")
    pool.start("gpu")

    [_, classify] = pool.submit(rows=6, shard_size=3, ids=lambda i: f"cat-{i}{'-broken' * (i == 4)}")

    wait_until(lambda: pool.finished(classify), "the classify job has a summary")
    [lost] = pool.ledger.summary(classify.job_id)["missing"]
    assert (lost["first_index"], lost["rows"]) == (3, 3)
    assert "breaks the model" in lost["reason"]


def test_fault_13_a_reducer_killed_before_it_starts_the_next_job_starts_it_all_the_same(pool: Pool) -> None:
    died = pool.workspace.parent / "died"
    pool.start("gpu")
    [_, classify] = pool.submit(rows=20, shard_size=10)

    pool.start("cpu", FAKE_DIE="before the next job", FAKE_DIED=str(died))

    wait_until(died.exists, "the reducer died")
    if not pool.finished(classify):
        pool.start("cpu")
    wait_until(lambda: pool.finished(classify), "the classify job has a summary")
    ends_well(pool, 20)


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


def test_fault_14_a_stale_message_is_dropped_and_a_late_touch_creates_nothing(pool: Pool) -> None:
    board = pool.broker.board("any")
    [(unit, _)] = board.enqueue("job", ["7"])
    assert board.claim("job", unit, 1) == 1
    [entry] = board.entries()
    assert board.requeue(entry) is not None

    assert board.claim("job", unit, 1) == 0
    assert not board.touch("job", unit, 1)
    board.finish("job", unit)
    assert not board.touch("job", unit, 2)
    assert len(board) == 0


def test_a_cancelled_job_stops_between_batches_and_can_be_resumed(pool: Pool) -> None:
    pool.start("cpu")
    pool.start("gpu", FAKE_BATCH_SECONDS="0.3")
    [extract, classify] = pool.submit(rows=120, shard_size=24)
    wait_until(lambda: len(pool.ledger.committed(classify.job_id)) >= 1, "a first shard is done")

    cancel_job(pool.ledger, pool.broker, classify)
    wait_until(lambda: ": cancelled" in pool.log(1), "the running shard was left")
    done = len(pool.ledger.committed(classify.job_id))

    assert done < 5
    assert len(pool.broker.board(gpu_queue(MODEL))) == 0
    pool.ledger.uncancel(classify.job_id)
    enqueue_due(pool.ledger, pool.broker, [extract, classify])
    wait_until(lambda: pool.finished(classify), "the classify job has a summary")
    ends_well(pool, 120)


def test_a_picture_outside_the_allowed_roots_costs_its_row_and_no_other(pool: Pool) -> None:
    pool.start("cpu")
    pool.start("gpu")
    pool.submit(rows=3, shard_size=3)
    data = pool.workspace.parent / "mixed.jsonl"
    lines = [{"question": "What is it?", "question_id": f"cat-{i}"} for i in range(3)]
    lines[1]["image"] = "/etc/hostname"
    data.write_text("".join(json.dumps(line) + "\n" for line in lines))
    [extract] = [job for job in pool.ledger.jobs("pets") if job.spec.kind == "extract"]
    artifact = pool.ledger.artifact_url("pets", extract.job_id)
    wait_until(lambda: pool.finished(extract), "the artifact is there")

    new = new_classify_job("mixed", MODEL, str(data), artifact, shard_size=3, batch_tokens=4)
    [job] = submit(pool.ledger, [new])
    enqueue_due(pool.ledger, pool.broker, [job])

    wait_until(lambda: pool.finished(job), "the job has a summary")
    found = rows(pool, job.job_id)
    assert [row.get("error", {}).get("kind") for row in found] == [None, "forbidden_media", None]


@pytest.mark.parametrize("kind", ["cpu", "gpu"])
def test_the_process_that_forks_children_has_no_other_thread(pool: Pool, kind: str) -> None:
    # a child forked while another thread holds a lock would wait for it for ever
    worker = pool.start(kind)
    wait_until(lambda: "ready, queue" in pool.log(0), "the worker is ready")

    status = Path(f"/proc/{worker.pid}/status").read_text()

    assert "Threads:\t1\n" in status


def test_the_sweeper_ends_with_its_worker(pool: Pool) -> None:
    worker = pool.start("cpu")
    wait_until(lambda: "ready, queue" in pool.log(0), "the worker is ready")
    processes = children(worker)
    assert len(processes) >= 2  # the child that reduces, and the sweeper

    os.kill(worker.pid, signal.SIGKILL)
    worker.wait()

    # the sweeper and multiprocessing's own tracker go; Celery's child is killed with the group
    wait_until(lambda: sum(sweeps(pid) for pid in processes) == 0, "no sweeper is left")


def sweeps(pid: int) -> bool:
    try:
        return b"spawn_main" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except FileNotFoundError:
        return False


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

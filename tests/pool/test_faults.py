"""The faults of the queue that a pool must end well, each a test named after it."""

import json
import os
import signal
import time
from datetime import datetime
from pathlib import Path

import pytest
from click.testing import CliRunner

from jobs.cli import main
from jobs.ledger.results import result_rows
from jobs.queue.broker import lanes
from jobs.queue.enqueue import cancel_job, enqueue_due
from jobs.queue.timeouts import Timeouts
from jobs.records.job import Job
from jobs.records.message import gpu_queue
from jobs.reduce.reducer import reduce_job
from jobs.run.sweep import sweep
from jobs.submit.submission import classify_job as new_classify_job
from jobs.submit.submission import submit
from savs.errors import BrokerError
from tests.pool.servers import (
    CLASSES,
    MODEL,
    TIMES,
    Pool,
    children,
    queue_length,
    wait_until,
    write_manifest,
)
from tests.workers.looking import runs, sweeps


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


def slow_at_9(i: int) -> str:
    """Names of rows, of which one takes FAKE_SLOW_SECONDS."""
    return f"{CLASSES[i % 3]}-{i}{'-slow' * (i == 9)}"


def runs_one(pool: Pool, job: Job) -> None:
    """Waits until a shard of the job runs."""
    board = pool.broker.board(gpu_queue(MODEL))
    wait_until(
        lambda: any(e.state == "running" and e.job_id == job.job_id for e in board.entries()), "a shard runs"
    )


def test_a_pool_runs_both_jobs_to_their_end(pool: Pool) -> None:
    pool.start("cpu")
    pool.start("gpu")

    [_, classify] = pool.submit(rows=60, shard_size=10)

    wait_until(lambda: pool.finished(classify), "the classify job has a summary")
    ends_well(pool, 60)
    assert pool.starts(classify) == 6


def test_fault_1_a_killed_workers_shard_is_run_again_within_the_limits(pool: Pool) -> None:
    # given a worker in a shard, and another that is idle
    pool.start("cpu")
    victim = pool.start("gpu", FAKE_SLOW_SECONDS="100")
    [_, classify] = pool.submit(rows=20, shard_size=20, ids=slow_at_9)
    runs_one(pool, classify)
    pool.start("gpu")
    wait_until(lambda: "ready, queue" in pool.log(2), "another worker is ready")

    # when the first is killed
    killed = time.monotonic()
    os.killpg(victim.pid, signal.SIGKILL)

    # then the shard has its one outcome in time
    wait_until(lambda: pool.ledger.committed(classify.job_id), "the shard is done")
    assert time.monotonic() - killed < TIMES.no_life + TIMES.sweep + 5
    wait_until(lambda: pool.finished(classify), "the classify job has a summary")
    ends_well(pool, 20)
    assert pool.starts(classify) == 1, "the victim got nowhere"


def test_fault_2_a_killed_child_loads_its_model_once_more_and_its_shard_is_taken_back_at_once(
    pool: Pool,
) -> None:
    # given a worker whose model takes 10 s to load, and a sweep that would not help for a minute
    slow = pool.workspace.parent / "slow"
    patient = {"SAVS_NO_LIFE_LIMIT": "60"}
    pool.start("cpu", **patient)
    worker = pool.start(
        "gpu", FAKE_BATCH_SECONDS="0.3", FAKE_SLOW=str(slow), FAKE_RELOAD_SECONDS="10", **patient
    )
    [_, classify] = pool.submit(rows=20, shard_size=20)
    runs_one(pool, classify)
    slow.touch()

    # when its child is killed
    [child] = children(worker)
    killed = time.monotonic()
    os.kill(child, signal.SIGKILL)

    # then one child takes its place, and runs the shard again
    wait_until(lambda: pool.finished(classify), "the classify job has a summary")
    assert 10 < time.monotonic() - killed < 40
    ends_well(pool, 20)
    assert worker.poll() is None
    assert pool.log(1).count("model loaded in") == 2
    assert "requeued: its process was killed, signal 9 (SIGKILL)" in pool.log(1)


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


@pytest.mark.kill
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


def test_fault_5_a_shard_that_hangs_is_ended_by_the_time_limit_and_named(pool: Pool) -> None:
    # given a time limit of 2 s, and a shard with an item at which the model hangs
    times = {"SAVS_SHARD_TIME_LIMIT": "2", "SAVS_ATTEMPTS": "2", "SAVS_NO_LIFE_LIMIT": "60"}
    pool.start("cpu", **times)
    pool.start("gpu", **times)

    [_, classify] = pool.submit(rows=9, shard_size=3, ids=lambda i: f"cat-{i}{'-hanging' * (i == 4)}")

    # then it is given up after two runs, for what it was, and all others are done
    wait_until(lambda: pool.finished(classify), "the classify job has a summary")
    summary = pool.ledger.summary(classify.job_id)
    assert (summary["status"], summary["labelled"]) == ("incomplete", 6)
    [lost] = summary["missing"]
    assert (lost["first_index"], lost["rows"]) == (3, 3)
    assert lost["reason"] == (
        "attempt 2 of 2: took longer than the time limit of 2 s (SAVS_SHARD_TIME_LIMIT)"
    )
    assert pool.log(1).count("requeued: took longer than the time limit") == 2


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


def test_fault_6_a_worker_in_a_batch_longer_than_its_grace_time_ends_and_gives_back_all_the_same(
    pool: Pool,
) -> None:
    # given batches of 100 s, a grace time of 1 s, and a sweep that would not help for a minute
    pool.start("cpu")
    wait_until(lambda: "ready, queue" in pool.log(0), "nobody else is busy")
    extract, _ = pool.submit(rows=4, shard_size=4)
    worker = pool.start(
        "gpu", FAKE_BATCH_SECONDS="100", SAVS_GRACE_TIME="1", SAVS_NO_LIFE_LIMIT="60", SAVS_ATTEMPTS="1"
    )
    runs_one(pool, extract)
    [child] = children(worker)

    # when it is told to stop, and told again by somebody who cannot wait
    told = time.monotonic()
    worker.terminate()
    time.sleep(0.2)
    worker.terminate()

    # then it ends in time with all it had started, and the shard waits for others as if never tried
    assert worker.wait(timeout=15) == 0
    assert 1 <= time.monotonic() - told < 1 + 5
    assert not runs(child)
    entries = pool.broker.board(gpu_queue(MODEL)).entries()
    assert {(e.state, e.attempts) for e in entries} == {("queued", 0)}
    assert queue_length(pool) == 2
    assert "still busy after the grace time of 1 s (SAVS_GRACE_TIME): ends by force" in pool.log(1)


def test_fault_7_a_worker_asleep_past_every_limit_wakes_up_to_one_outcome(pool: Pool) -> None:
    # given a worker in a shard, and another that is idle
    pool.start("cpu")
    sleeper = pool.start("gpu", FAKE_SLOW_SECONDS="5")
    [_, classify] = pool.submit(rows=24, shard_size=24, ids=slow_at_9)
    runs_one(pool, classify)
    pool.start("gpu")

    # when the first sleeps until the job is done, and then goes on
    os.killpg(sleeper.pid, signal.SIGSTOP)
    wait_until(lambda: pool.finished(classify), "another worker ran the shard")
    before, accuracy = rows(pool, classify.job_id), pool.ledger.summary(classify.job_id)["accuracy"]
    os.killpg(sleeper.pid, signal.SIGCONT)

    # then the shard has been run twice, and nothing has come of the second time
    wait_until(lambda: f"job={classify.job_id}" in ended_of(pool, 1), "the sleeper is done")
    assert pool.starts(classify) == 2
    assert (
        len(list(pool.ledger.outcomes(classify.job_id)))
        == len(list(pool.ledger.orphans(classify.job_id)))
        == 1
    )
    assert rows(pool, classify.job_id) == before
    assert reduce_job(pool.ledger, classify)["accuracy"] == accuracy
    ends_well(pool, 24)


def ended_of(pool: Pool, number: int) -> str:
    """What a worker's log says of the ends of shards."""
    return "\n".join(line for line in pool.log(number).splitlines() if "shard ended" in line)


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
    patient = {"SAVS_ATTEMPTS": "3", "SAVS_NO_LIFE_LIMIT": "20"}  # or a busy machine has another reason
    pool.start("cpu", **patient)
    pool.start("gpu", **patient)
    names = [f"{['cat', 'dog', 'owl'][i % 3]}-{i}" for i in range(30)]
    names[12] += "-deadly"

    pool.submit(rows=30, shard_size=10, ids=lambda i: names[i])

    watched = CliRunner().invoke(
        main, ["watch", "pets", "--json", "--workspace", pool.address, "--broker", pool.redis.url]
    )
    assert watched.exit_code == 1, watched.output
    summary = json.loads(watched.stdout)[1]
    assert summary["status"] == "incomplete"
    [lost] = summary["missing"]
    assert (lost["first_index"], lost["rows"]) == (10, 10)
    assert lost["reason"] == "attempt 3 of 3: its process was killed, signal 9 (SIGKILL)"
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


def test_fault_14_ten_thousand_waiting_shards_are_not_published_again(pool: Pool) -> None:
    # given a job of 10,000 shards that wait, for no worker is there
    times = Timeouts(touch=0.01, no_life=0.3)
    data = write_manifest(f"{pool.workspace.parent}/data.jsonl", 10_000, lambda i: f"cat-{i}")
    new = new_classify_job("pets", MODEL, data, str(pool.workspace), shard_size=1, batch_tokens=1)
    [job] = submit(pool.ledger, [new])
    enqueue_due(pool.ledger, pool.broker, [job])
    assert queue_length(pool) == 10_000

    # when sweeps look at them for ten times as long as the limit without a sign of life
    board = pool.broker.board(gpu_queue(MODEL))
    first, sweeps = board.time(), 0
    while board.time() < first + 10 * times.no_life:
        sweep(pool.ledger, pool.broker, times)
        sweeps += 1

    # then there is still one message for each
    assert sweeps > 1
    assert queue_length(pool) <= 1.01 * 10_000
    assert {entry.epoch for entry in board.entries()} == {1}


def test_fault_14_shards_whose_messages_are_lost_are_published_again_once(pool: Pool) -> None:
    # given waiting shards whose messages are lost
    times = Timeouts(touch=0.01, no_life=0.3)
    pool.submit(rows=40, shard_size=10)
    waiting = queue_length(pool)
    pool.broker.redis.delete(*lanes(gpu_queue(MODEL)))
    board = pool.broker.board(gpu_queue(MODEL))
    first = board.time()

    while board.time() < first + 10 * times.no_life:
        sweep(pool.ledger, pool.broker, times)

    assert queue_length(pool) == waiting


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


def test_a_worker_whose_model_cannot_be_loaded_says_so_in_a_sentence_and_ends(pool: Pool) -> None:
    worker = pool.start("gpu", model="broken", SAVS_LOG_FORMAT="json")

    assert worker.wait(timeout=60) == 1
    ended = time.time()

    [failed] = [line for line in map(json.loads, pool.log(0).splitlines()) if line["level"] == "ERROR"]
    assert failed["message"] == "cannot start: RuntimeError: no such weights"
    assert "Traceback" not in pool.log(0)
    assert ended - datetime.fromisoformat(failed["time"]).timestamp() < 10


def test_the_traceback_of_a_model_that_cannot_be_loaded_is_there_for_who_asks(pool: Pool) -> None:
    worker = pool.start("gpu", model="broken", SAVS_LOG_LEVEL="debug")

    assert worker.wait(timeout=60) == 1
    assert "cannot start: RuntimeError: no such weights\n" in pool.log(0)
    assert "Traceback" in pool.log(0)


def test_a_worker_does_not_take_a_shard_before_its_model_is_loaded(pool: Pool) -> None:
    [extract, _] = pool.submit(rows=10, shard_size=10)
    worker = pool.start("gpu", FAKE_LOAD_SECONDS="4")

    wait_until(lambda: children(worker), "the child has started")

    assert queue_length(pool) == 2
    wait_until(lambda: len(pool.ledger.committed(extract.job_id)) == 2, "it works once it is loaded")

"""Who can write to Redis can waste a pool's time, and no more."""

import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

import savs.engine.extract
from jobs.ledger.plans import Plans
from jobs.ledger.results import result_rows
from jobs.queue.enqueue import enqueue_due
from jobs.queue.refusals import Refusals, refused
from jobs.queue.repair import repaired_entries
from jobs.records.job import Job
from jobs.records.message import CPU_QUEUE, PlanJob, ReduceJob, RunShard
from jobs.records.retries import Pick, Retry, RetryShard
from jobs.run.advance import attempt_to_advance
from jobs.run.attempt import Worker, attempt_shard
from jobs.run.sweep import sweep
from jobs.submit.submission import classify_job, submit
from savs.model.model import Model
from tests.jobs.ledgers import summary_of
from tests.pool import fake
from tests.pool.servers import MODEL, TIMES, Pool, cpu_worker, wait_until, write_manifest
from workers.sweeper import LEADER, leads


@pytest.fixture
def model(monkeypatch: pytest.MonkeyPatch) -> Iterator[Model]:
    monkeypatch.setattr(savs.engine.extract, "stream", fake.stream)
    yield fake.load(MODEL)


@pytest.fixture
def worker(pool: Pool) -> Worker:
    """A worker with the model, in this process."""
    refusals = Refusals(pool.broker, pool.queue, "here:1")
    return replace(
        Worker(pool.ledger, Plans(pool.ledger), pool.broker, pool.queue, refusals, TIMES),
    )


@pytest.fixture
def ended(pool: Pool) -> list[Job]:
    """A job of each kind that a pool has done."""
    pool.start("cpu")
    pool.start("gpu")
    jobs = pool.submit(rows=20, shard_size=5)
    wait_until(lambda: all(pool.finished(job) for job in jobs), "both jobs end")
    wait_until(lambda: not any(pool.ledger.is_active(job.job_id) for job in jobs), "they are no one's")
    pool.stop()
    return jobs


def forged(job: Job, number: int, epoch: int = 1) -> RunShard:
    return RunShard(task="classify_shard", job_id=job.job_id, shard=number, epoch=epoch)


@pytest.mark.parametrize("number", [0, 3, 4, 77, 10**9])
def test_a_forged_message_does_not_change_a_job_that_has_ended(
    pool: Pool, worker: Worker, model: Model, ended: list[Job], number: int
) -> None:
    [_, classify] = ended
    rows, summary = list(result_rows(pool.ledger, classify.job_id)), pool.ledger.summary(classify.job_id)

    assert attempt_shard(worker, forged(classify, number), model).word == "stale"
    assert attempt_to_advance(cpu_worker(pool), ReduceJob(job_id=classify.job_id)) == "stale"
    assert attempt_to_advance(cpu_worker(pool), PlanJob(job_id=classify.job_id)) == "stale"

    assert list(result_rows(pool.ledger, classify.job_id)) == rows
    assert pool.ledger.summary(classify.job_id) == summary
    assert not len(pool.broker.board(pool.queue)) and not len(pool.broker.board(CPU_QUEUE))


def test_a_forged_message_for_a_shard_that_was_not_planned_is_dropped(
    pool: Pool, worker: Worker, model: Model
) -> None:
    [extract, _] = pool.submit(rows=20, shard_size=5)

    assert attempt_shard(worker, forged(extract, 2), model).word == "stale"

    # and the job ends with the shards that were
    for number in (0, 1):
        assert attempt_shard(worker, forged(extract, number), model).word == "done"
    assert pool.ledger.committed(extract.job_id) == {0, 1}
    assert pool.broker.board(CPU_QUEUE).entry(extract.job_id, "reduce") is not None


def test_what_a_message_says_of_a_shard_is_not_believed(pool: Pool, worker: Worker, model: Model) -> None:
    # given shard 0's message, of an earlier savs, with the bytes of shard 1
    [extract, _] = pool.submit(rows=20, shard_size=5)
    other = pool.ledger.planned(extract.job_id).shard(1).model_dump()
    sent = {"schema_version": 1, "task": "extract_savs", "job_id": extract.job_id}
    message = RunShard.model_validate(sent | {"shard": other | {"number": 0}})

    assert attempt_shard(worker, message, model).word == "done"

    outcome = pool.ledger.outcome(extract.job_id, 0)
    assert outcome is not None and "-t0" in pool.ledger.read_part(extract.job_id, outcome).decode("latin-1")


def test_a_job_that_waits_or_that_no_pool_was_handed_is_not_run(
    pool: Pool, worker: Worker, model: Model
) -> None:
    [extract, classify] = pool.submit(rows=20, shard_size=5)

    assert attempt_shard(worker, forged(classify, 0), model).word == "stale"  # it waits for its artifact
    pool.ledger.deactivate(extract.job_id)
    assert attempt_shard(worker, forged(extract, 0), model).word == "stale"
    assert not pool.ledger.committed(classify.job_id) and not pool.ledger.committed(extract.job_id)


def test_a_forged_reduction_before_a_job_is_planned_does_not_fail_it(pool: Pool) -> None:
    [extract, _] = pool.submit(rows=20, shard_size=5)
    pool.ledger.store.delete(f"jobs/{extract.job_id}/shards.json")

    assert attempt_to_advance(cpu_worker(pool), ReduceJob(job_id=extract.job_id)) == "stale"

    assert pool.ledger.summary(extract.job_id) is None


WHOLE = {"state": "queued", "epoch": 1, "attempts": 0, "at": 0, "lane": 0}
CHANGES: list[dict[str, Any]] = [
    *({name: True} for name in ("attempts", "epoch", "lane", "at")),
    *({"lane": lane} for lane in (3.7, -1, 8, "0")),
    *({"at": at} for at in (float("nan"), float("inf"), 10**400, -1, "x")),
    *({"epoch": 1e30}, {"epoch": None}, {"why": [1]}, {"state": "gone"}),
]
VALUES = [
    *(json.dumps(WHOLE | change) for change in CHANGES),
    *("", "{", "[]", "null", "7", "[" * 100_000, "\x00", "\ufeff" + json.dumps(WHOLE)),
    *(json.dumps(WHOLE)[:-1] + f', "x": {value}}}' for value in ("NaN", "1e999", r'"\ud800"')),
    json.dumps(WHOLE)[:-1] + r', "why": "\ud800"}',
]


def lose_all(pool: Pool) -> None:
    """All messages are lost, and the limit for that has passed."""
    pool.broker.redis.delete(*(f"{pool.queue}:{lane}" for lane in range(8)))
    board = pool.broker.board(pool.queue)
    start = board.time()
    wait_until(lambda: board.time() > start + TIMES.no_life + 0.1, "the limit has passed")


def waiting(pool: Pool) -> int:
    return sum(int(pool.broker.redis.llen(f"{pool.queue}:{lane}")) for lane in range(8))


def test_whatever_a_stranger_writes_on_the_board_the_units_are_put_back_by_the_second_sweep(
    pool: Pool,
) -> None:
    # given a job with a unit for each value, all messages lost, and fields and counts that nobody can use
    data = write_manifest(f"{pool.workspace.parent}/data.jsonl", len(VALUES), lambda i: f"cat-{i}")
    new = classify_job("pets", MODEL, data, str(pool.workspace), shard_size=1, batch_tokens=1)
    [job] = submit(pool.ledger, [new])
    enqueue_due(pool.ledger, pool.broker, [job])
    board, redis = pool.broker.board(pool.queue), pool.broker.redis
    redis.hset(board.key, mapping={f"{job.job_id}/{n}": value for n, value in enumerate(VALUES)})
    strange = (f"{job.job_id}/{'9' * 5000}", "no job/x", "7")
    redis.hset(board.key, mapping=dict.fromkeys(strange, json.dumps(WHOLE)))
    redis.hset(board.counts, mapping={job.job_id: "1e400", "no job": "abc"})
    lose_all(pool)

    for _ in range(2):
        sweep(pool.ledger, pool.broker, TIMES)

    assert {entry.unit for entry in board.entries()} == {str(n) for n in range(len(VALUES))}
    assert waiting(pool) == board.left(job.job_id) == len(board) == len(VALUES)
    assert redis.hkeys(board.counts) == [job.job_id.encode()]


def test_lost_messages_are_published_again_without_reading_the_plan_for_each(pool: Pool) -> None:
    # given 500 units whose messages are lost, and a plan that cannot be read
    data = write_manifest(f"{pool.workspace.parent}/data.jsonl", 500, lambda i: f"cat-{i}")
    new = classify_job("pets", MODEL, data, str(pool.workspace), shard_size=1, batch_tokens=1)
    [job] = submit(pool.ledger, [new])
    enqueue_due(pool.ledger, pool.broker, [job])
    pool.ledger.store.write(f"jobs/{job.job_id}/shards.json", b"{")
    lose_all(pool)

    sweep(pool.ledger, pool.broker, TIMES)

    assert waiting(pool) == 500 and pool.broker.board(pool.queue).left(job.job_id) == 500


@pytest.mark.parametrize("key", ["savs:outstanding:{}", "savs:left:{}", "{}:0"])
def test_a_key_of_another_type_is_removed(pool: Pool, key: str) -> None:
    [extract, _] = pool.submit(rows=20, shard_size=5)
    redis, board = pool.broker.redis, pool.broker.board(pool.queue)
    redis.delete(key.format(pool.queue))
    redis.set(key.format(pool.queue), "x")
    lose_all(pool) if not key.startswith("{") else None

    for _ in range(3):
        sweep(pool.ledger, pool.broker, TIMES)
        start = board.time()
        wait_until(lambda at=start: board.time() > at + TIMES.no_life + 0.1, "the limit has passed")

    assert {entry.unit for entry in repaired_entries(pool.broker, pool.queue)[0]} == {"0", "1"}
    assert board.left(extract.job_id) == 2 and waiting(pool) >= 2


@pytest.mark.parametrize("ahead", [61.0, 1e9])
def test_a_unit_from_the_future_is_not_waited_for(pool: Pool, ahead: float) -> None:
    [extract, _] = pool.submit(rows=20, shard_size=5)
    board = pool.broker.board(pool.queue)
    entry = WHOLE | {"state": "running", "at": board.time() + ahead}
    pool.broker.redis.hset(board.key, f"{extract.job_id}/0", json.dumps(entry))

    sweep(pool.ledger, pool.broker, TIMES)

    found = board.entry(extract.job_id, "0")
    assert found is not None and (found.state, found.epoch) == ("queued", 2)


@pytest.mark.parametrize("unit", ["00", "07", "plan", "reduce"])
def test_a_unit_that_no_worker_of_the_queue_can_end_is_removed(pool: Pool, unit: str) -> None:
    [extract, _] = pool.submit(rows=20, shard_size=5)
    board = pool.broker.board(pool.queue)
    lost = WHOLE | {"state": "running", "attempts": 50}
    pool.broker.redis.hset(board.key, f"{extract.job_id}/{unit}", json.dumps(lost))

    sweep(pool.ledger, pool.broker, TIMES)

    assert {entry.unit for entry in board.entries()} == {"0", "1"} and board.left(extract.job_id) == 2
    assert pool.ledger.summary(extract.job_id) is None


@pytest.mark.parametrize("unit", ["4", "77"])
def test_a_job_ends_though_a_unit_is_on_the_board_that_was_not_planned(pool: Pool, unit: str) -> None:
    pool.start("cpu")
    pool.start("gpu")
    [extract, classify] = pool.submit(rows=20, shard_size=5)
    for job in (extract, classify):
        board = pool.broker.board(pool.queue)
        pool.broker.redis.hset(board.key, f"{job.job_id}/{unit}", json.dumps(WHOLE))
        board.recount(job.job_id)

    wait_until(lambda: pool.finished(extract) and pool.finished(classify), "both jobs end")


@pytest.mark.parametrize("value", ["x", {"since": "abc"}, {"since": "nan"}, {"since": "9e99"}])
def test_what_strangers_say_of_refusals_gives_no_shard_up(pool: Pool, value: str | dict[str, str]) -> None:
    key, redis = f"savs:refused:{pool.queue}:pets-classify-1a2b3c4d", pool.broker.redis
    redis.set(key, value) if isinstance(value, str) else redis.hset(key, mapping=value)
    assert refused(pool.broker, pool.queue, "pets-classify-1a2b3c4d") == {}
    refusals = Refusals(pool.broker, pool.queue, "here:1")
    assert refusals.refuse("pets-classify-1a2b3c4d", "no such file", 60.0) is None


def test_a_job_that_is_retried_while_it_ends_is_still_the_pools(
    pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    [extract, _] = pool.submit(rows=20, shard_size=5)
    deactivate = pool.ledger.deactivate

    def retried_before(job_id: str) -> None:
        pool.ledger.forget_summary(job_id)  # as `retry` does, which then hands the job to the pool
        pool.ledger.activate(job_id)
        deactivate(job_id)

    ledger = pool.ledger
    ledger.write_summary(extract.job_id, summary_of(extract))
    monkeypatch.setattr(ledger, "deactivate", retried_before)
    ledger.end(extract.job_id)
    assert pool.ledger.is_active(extract.job_id)

    monkeypatch.undo()
    ledger.write_summary(extract.job_id, summary_of(extract))
    ledger.end(extract.job_id)
    assert not pool.ledger.is_active(extract.job_id)


def test_retries_of_a_deleted_job_are_forgotten(pool: Pool, worker: Worker) -> None:
    [extract, _] = pool.submit(rows=20, shard_size=5)
    plan = pool.ledger.planned(extract.job_id).plan

    def retried(*rows: int) -> None:
        pick = Pick(shard=plan.shard(0), indices=rows)
        shard = RetryShard(picks=(pick,), rows=len(rows))
        path = f"jobs/{extract.job_id}/retries/0000.json"
        retry = Retry(number=0, first=len(plan), shards=(shard,))
        pool.ledger.store.write(path, retry.model_dump_json().encode())

    for rows in ((0, 1), (2,)):
        retried(*rows)
        found = worker.plans.shard(extract.job_id, len(plan))
        assert found is not None and (found.first_index, found.rows) == (rows[0], len(rows))


@pytest.mark.parametrize("how", [{}, {"ex": 3500}, {"ex": 10**9}])
def test_a_false_leader_does_not_keep_the_others_from_sweeping(pool: Pool, how: dict[str, Any]) -> None:
    pool.broker.redis.set(LEADER, "nobody", **how)
    assert leads(pool.broker, "me", 2000)
    assert not leads(pool.broker, "you", 2000) and leads(pool.broker, "me", 2000)
    pool.broker.redis.delete(LEADER)
    pool.broker.redis.lpush(LEADER, "x")
    pool.broker.redis.expire(LEADER, 30)
    assert leads(pool.broker, "you", 2000)

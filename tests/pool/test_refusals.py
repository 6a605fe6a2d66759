"""A worker that cannot run a job leaves it to others; only what nobody can run is given up."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

import savs.engine.extract
from jobs.cli.doctor_checks import diagnose
from jobs.ledger.plans import Plans
from jobs.queue.broker import ServingWorker
from jobs.queue.publisher import shard_message
from jobs.queue.refusals import LAST_PAUSE, Refusals, refused_jobs
from jobs.records.job import Job
from jobs.records.message import RunShard
from jobs.run.advance import reduce_then_enqueue
from jobs.run.attempt import Attempt, Worker, attempt_shard
from jobs.shards.allowed_roots import Roots
from savs.model.model import Model
from tests.pool import fake
from tests.pool.servers import MODEL, TIMES, Pool, queue_length, wait_until

ELSEWHERE = "/nowhere/that/is"


def test_one_worker_with_wrong_roots_costs_no_shard(pool: Pool) -> None:
    # given a worker that may read nothing, one that may, and a job of 20 shards
    pool.start("cpu")
    pool.start("gpu", FAKE_ROOTS=ELSEWHERE)
    pool.start("gpu", FAKE_BATCH_SECONDS="0.1")
    wait_until(lambda: pool.broker.workers(pool.queue) == 2, "both show life")

    [_, classify] = pool.submit(rows=80, shard_size=4)

    # then every row is labelled, and the one says once per job why it is not by it
    wait_until(lambda: pool.finished(classify), "the classify job has a summary")
    summary = pool.ledger.summary(classify.job_id)
    assert summary is not None and (summary["status"], summary["labelled"]) == ("done", 80)
    said = [line for line in pool.log(1).splitlines() if "WARNING" in line and "refused the job" in line]
    assert all("is outside this worker's allowed roots" in line for line in said)
    assert len(said) == len({line.rpartition("job=")[2].split()[0] for line in said}) >= 1
    assert "Traceback" not in pool.log(1)


def test_what_every_worker_refuses_is_given_up_with_their_reasons(pool: Pool) -> None:
    pool.start("cpu")
    pool.start("gpu", FAKE_ROOTS=ELSEWHERE)
    pool.start("gpu", FAKE_ROOTS=f"{ELSEWHERE}/else")

    [extract, _] = pool.submit(rows=4, shard_size=4)

    wait_until(lambda: pool.finished(extract), "the extract job has a summary")
    summary = pool.ledger.summary(extract.job_id)
    assert summary is not None and summary["status"] == "failed"
    assert "shard 0 was given up: every worker refuses it: " in summary["reason"]
    reason = summary["missing"][0]["reason"]
    assert reason.startswith("every worker refuses it: ")
    assert reason.count("is outside this worker's allowed roots") == 2


def test_what_a_newer_savs_has_written_is_left_to_newer_cpu_workers(pool: Pool) -> None:
    # given shards that ran, and a commit with a schema that this version does not know
    pool.start("gpu")
    [extract, classify] = pool.submit(rows=4, shard_size=4)
    wait_until(lambda: len(pool.ledger.committed(extract.job_id)) == 2, "the examples were read")
    [commit, *_] = sorted((pool.workspace / "jobs" / extract.job_id / "commits").iterdir())
    known = commit.read_bytes()
    commit.write_text(json.dumps(json.loads(known) | {"schema_version": 99, "later": 1}))

    # when a cpu worker is to add them up
    pool.start("cpu", SAVS_NO_LIFE_LIMIT="60")
    wait_until(lambda: "left to other workers" in pool.log(1), "the cpu worker refuses")

    # then it says why and has given nothing up
    assert f"{commit.name} was written by a newer savs; upgrade this one" in pool.log(1)
    assert pool.ledger.summary(extract.job_id) is None
    commit.write_bytes(known)  # as if a newer worker had come
    wait_until(lambda: pool.finished(classify), "the job ends")


@pytest.fixture
def model(monkeypatch: pytest.MonkeyPatch) -> Iterator[Model]:
    monkeypatch.setattr(savs.engine.extract, "stream", fake.stream)
    yield fake.load(MODEL)


def worker_of(pool: Pool, name: str = "here:1", **more: object) -> Worker:
    roots = Roots.of([str(pool.workspace), str(pool.workspace.parent)])
    refusals = Refusals(pool.broker, pool.queue, name)
    patient = replace(TIMES, no_life=60.0)
    worker = Worker(pool.ledger, Plans(pool.ledger), pool.broker, pool.queue, refusals, patient, roots)
    return replace(worker, **more)


def attempt(pool: Pool, worker: Worker, job: Job, model: Model, number: int = 0) -> Attempt:
    """What a worker does with the message of a job's shard that is on the queue."""
    entry = pool.broker.board(pool.queue).entry(job.job_id, str(number))
    assert entry is not None and entry.state == "queued"
    message: RunShard = shard_message(job, number, entry.epoch, entry.at)
    return attempt_shard(worker, message, model)


@pytest.mark.parametrize("lacks", ["roots", "manifest", "artifact", "weights"])
def test_what_a_worker_lacks_costs_no_attempt_and_another_runs_the_shard(
    pool: Pool, model: Model, lacks: str
) -> None:
    # given an extract job, and for what is about artifacts the classify job after it
    extract, classify = pool.submit(rows=4, shard_size=4)
    good = worker_of(pool)
    job = extract
    if lacks in ("artifact", "weights"):
        for number in (0, 1):
            attempt(pool, good, extract, model, number)
        reduce_then_enqueue(pool.ledger, pool.broker, extract)
        job = classify
    before, waiting = pool.broker.board(pool.queue).entry(job.job_id, "0"), queue_length(pool)

    # when a worker that lacks something takes its message
    bad, missing, other = worker_of(pool, "there:2"), None, model
    if lacks == "roots":
        bad = replace(bad, roots=Roots.of([ELSEWHERE]))
    elif lacks == "weights":
        other = replace(model, fingerprint="of others")
    else:
        missing = (
            pool.workspace.parent / "train.jsonl" if lacks == "manifest" else Path(classify.spec.artifact)
        )
        missing.rename(missing.with_suffix(".away"))
    words = [attempt(pool, bad, job, other).word for _ in range(2 * TIMES.attempts)]

    # then the shard waits as before, and another one runs it
    after = pool.broker.board(pool.queue).entry(job.job_id, "0")
    assert set(words) == {"refused"}
    assert before is not None and after is not None
    assert (after.state, after.attempts) == (before.state, before.attempts) == ("queued", 0)
    assert queue_length(pool) == waiting + len(words), "nobody has taken a message: ours stood for them"
    assert set(refused_jobs(pool.broker, pool.queue)) == set(), "none of them shows life"
    if missing is not None:
        missing.with_suffix(".away").rename(missing)
    assert attempt(pool, good, job, model).word == "done"


def test_a_job_whose_data_changed_is_given_up_at_once(pool: Pool, model: Model) -> None:
    [extract, _] = pool.submit(rows=4, shard_size=4)
    (pool.workspace.parent / "train.jsonl").write_text('{"question": "What?", "label": "cat"}\n')

    given_up = attempt(pool, worker_of(pool), extract, model)

    assert given_up.word == "given up" and given_up.outcomes
    assert "has changed since" in (given_up.outcomes[0].reason or "")


def test_a_worker_that_was_mended_takes_its_refusal_back(pool: Pool, model: Model) -> None:
    [extract, _] = pool.submit(rows=4, shard_size=4)
    worker = worker_of(pool)
    pool.broker.show_life(pool.queue, ServingWorker("here", 1, str(pool.workspace)))
    manifest = pool.workspace.parent / "train.jsonl"
    manifest.rename(manifest.with_suffix(".away"))
    assert attempt(pool, worker, extract, model).word == "refused"
    assert "here:1" in refused_jobs(pool.broker, pool.queue)[extract.job_id]
    manifest.with_suffix(".away").rename(manifest)
    assert attempt(pool, worker, extract, model).word == "refused", "it does not try each time"

    worker.refusals.known[extract.job_id] = ("", 0.0)  # it tries now and then

    assert attempt(pool, worker, extract, model).word == "done"
    assert refused_jobs(pool.broker, pool.queue) == {}


def test_a_worker_that_refuses_leaves_others_more_and_more_time(pool: Pool) -> None:
    refusals = Refusals(pool.broker, pool.queue, "here:1")
    refusals.refuse("bad", "why", patience=100)

    pauses = [refusals.pause("bad") for _ in range(8)]

    assert pauses == [0.25, 0.5, 1.0, 2.0, 4.0, LAST_PAUSE, LAST_PAUSE, LAST_PAUSE]
    assert refusals.pause("good") == 0
    assert refusals.pause("bad") == 0.25


def test_one_worker_that_has_not_refused_keeps_a_job_alive(pool: Pool) -> None:
    # given three workers that show life
    for pid in (1, 2, 3):
        pool.broker.show_life(pool.queue, ServingWorker("here", pid, str(pool.workspace)))
    first, second, third = [Refusals(pool.broker, pool.queue, f"here:{pid}") for pid in (1, 2, 3)]

    # if two have refused the job, it goes on
    for _ in range(2):
        assert first.refuse("job", "no roots", 0.0) is None
        assert second.refuse("job", "no weights", 0.0) is None

    # and it is given up once the last one has, for as long as it takes
    assert third.refuse("job", "no file", 100.0) is None
    said = third.refuse("job", "no file", 0.0)
    assert said == "every worker refuses it: here:1: no roots; here:2: no weights; here:3: no file"

    # unless another one comes
    pool.broker.show_life(pool.queue, ServingWorker("there", 9, str(pool.workspace)))
    assert first.refuse("job", "no roots", 0.0) is None


def test_doctor_says_who_refuses_what_and_why(pool: Pool) -> None:
    pool.broker.show_life(pool.queue, ServingWorker("gpu-7", 42, str(pool.workspace)))
    Refusals(pool.broker, pool.queue, "gpu-7:42").refuse("pets-classify-1a2b3c4d", "other weights", 100.0)

    found = [f for f in diagnose(str(pool.workspace), pool.redis.url, MODEL, []) if f.state == "wrong"]

    assert "gpu-7:42 refuses pets-classify-1a2b3c4d: other weights" in [f.text for f in found]

"""Two of the faults with a real model, the demo LMM reading pictures; and the same, asked zero-shot."""

import json
import os
import signal
from pathlib import Path

import pytest

from jobs.ledger.ledger import Ledger
from jobs.ledger.reports import report_key
from jobs.ledger.results import result_rows
from jobs.queue.enqueue import enqueue_due
from jobs.records.job import Job
from jobs.submit.submission import classify_job, extract_job, submit
from savs.demo.corpus import write_corpus
from savs.demo.unseen import TASKS
from tests.jobs.conftest import savs_submit
from tests.pool.servers import Pool, children, wait_until

ITEMS, SHARD, BATCH = 240, 40, 8


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("corpus")
    write_corpus(folder, next(task for task in TASKS if task.name == "stroke"), ITEMS)
    return folder


@pytest.fixture(scope="module")
def calm(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> list[bytes]:
    """The rows of a run in one process that nobody disturbed."""
    workspace = tmp_path_factory.mktemp("calm")
    result = savs_submit(
        *("run", "--train", corpus / "train.jsonl", "--data", corpus / "corpus.jsonl"),
        *("--model", "demo", "--name", "stroke", "--workspace", workspace),
        *("--shard-size", SHARD, "--batch-tokens", BATCH, "--readout", "reference"),
    )
    assert result.exit_code == 0, result.output
    ledger = Ledger(str(workspace))
    [job] = [job for job in ledger.jobs() if job.spec.kind == "classify"]
    return list(result_rows(ledger, job.job_id))


def hand_in(pool: Pool, corpus: Path) -> Job:
    """The same job, on the pool's queue."""
    how = {"shard_size": SHARD, "batch_tokens": BATCH}
    first = extract_job("stroke", "demo", str(corpus / "train.jsonl"), heads=20, readout="reference", **how)
    artifact = pool.ledger.artifact_url("stroke", first.job_id)
    second = classify_job("stroke", "demo", str(corpus / "corpus.jsonl"), artifact, after=first.job_id, **how)
    jobs = submit(pool.ledger, [first, second.model_copy(update={"report": True})])
    enqueue_due(pool.ledger, pool.broker, jobs)
    return jobs[1]


def ends_as_calm(pool: Pool, job: Job, calm: list[bytes]) -> None:
    wait_until(lambda: pool.finished(job), "the classify job has a summary", patience=120)
    summary = pool.ledger.summary(job.job_id)
    assert summary is not None and (summary["status"], summary["failed"]) == ("done", 0)
    assert [json.loads(row) for row in result_rows(pool.ledger, job.job_id)] == [json.loads(r) for r in calm]


@pytest.mark.kill
def test_fault_2_with_the_demo_model(pool: Pool, corpus: Path, calm: list[bytes]) -> None:
    pool.start("cpu", FAKE_ROOTS=str(corpus))
    worker = pool.start("gpu", "demo", FAKE_ROOTS=str(corpus))
    job = hand_in(pool, corpus)
    wait_until(lambda: pool.ledger.committed(job.job_id), "a first shard is done", patience=90)

    [child] = children(worker)
    os.kill(child, signal.SIGKILL)

    ends_as_calm(pool, job, calm)
    assert worker.poll() is None
    # and the cpu worker has made the report, with pictures, which lie below its roots
    wait_until(lambda: pool.ledger.store.exists(report_key(job.job_id)), "the report is there", patience=60)
    assert b"data:image/jpeg" in pool.ledger.store.read(report_key(job.job_id))


@pytest.mark.kill
def test_fault_6_with_the_demo_model(pool: Pool, corpus: Path, calm: list[bytes]) -> None:
    pool.start("cpu")
    worker = pool.start("gpu", "demo", FAKE_ROOTS=str(corpus))
    job = hand_in(pool, corpus)
    wait_until(lambda: pool.ledger.committed(job.job_id), "a first shard is done", patience=90)

    worker.terminate()
    assert worker.wait(timeout=30) == 0
    assert not pool.finished(job)
    left = len(pool.ledger.committed(job.job_id))
    pool.start("gpu", "demo", FAKE_ROOTS=str(corpus))

    ends_as_calm(pool, job, calm)
    assert left < ITEMS // SHARD


def test_a_zero_shot_job_is_worked_off_by_a_pool(pool: Pool, corpus: Path, tmp_path: Path) -> None:
    # given a few items, and the answers of a run in one process
    few = corpus / "few.jsonl"
    few.write_bytes(b"".join((corpus / "corpus.jsonl").read_bytes().splitlines(keepends=True)[: 2 * SHARD]))
    ask = (
        *("classify", "--zero-shot", "constrained", "--data", few, "--model", "demo"),
        *("--name", "asked", "--shard-size", SHARD, "--batch-tokens", BATCH, "--json", "--workspace"),
    )
    [calm] = json.loads(savs_submit(*ask, tmp_path / "calm").stdout)
    pool.start("cpu")
    pool.start("gpu", "demo", FAKE_ROOTS=str(corpus))

    done = savs_submit(*ask, pool.workspace, "--broker", pool.redis.url, "--wait")

    assert done.exit_code == 0, done.output
    [summary] = json.loads(done.stdout)
    assert summary["zero_shot"]["classes"] and summary["labelled"] == 2 * SHARD
    ledgers = Ledger(str(tmp_path / "calm")), pool.ledger
    rows, others = (list(result_rows(ledger, calm["job_id"])) for ledger in ledgers)
    assert [json.loads(row) for row in rows] == [json.loads(row) for row in others]

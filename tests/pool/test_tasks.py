"""A pool runs several training files as tasks of one corpus, each with a pilot of its own."""

import json
from pathlib import Path

import pytest

from jobs.ledger.corpus_vectors import corpus_vectors
from jobs.ledger.results import result_rows
from jobs.records.job import Job
from jobs.records.message import CPU_QUEUE
from jobs.reduce.status import job_state
from tests.pool.servers import CLASSES, MODEL, Pool, wait_until, write_manifest
from tests.pool.test_companions import shards_taken
from tests.pool.test_pilot import submit

TASKS = ("one", "two")
ROWS = 900  # of which a pilot reads 800


def run_tasks(pool: Pool, place: Path, two: str = "") -> None:
    """A run of two tasks; `two` is in the ids of a class of the second one's examples."""
    for task, word in zip(TASKS, ("", two), strict=True):
        write_manifest(
            f"{place}/{task}.jsonl", 36, lambda i, word=word: f"{CLASSES[i % 3]}-t{i}{word if i % 3 else ''}"
        )
    data = write_manifest(f"{place}/data.jsonl", ROWS, lambda i: f"{CLASSES[i % 3]}-{i}")
    given = [part for task in TASKS for part in ("--train", f"{place}/{task}.jsonl")]
    said = submit(
        pool,
        *("run", *given, "--data", data, "--model", MODEL, "--name", "pets", "--shard-size", 100),
        *("--keep-vectors", "heads", "--target-precision", 0.9, "--max-failure-rate", 1),
    )
    assert said.exit_code == 0, said.output


def of_kind(pool: Pool, kind: str) -> list[Job]:
    return [job for task in TASKS for job in pool.ledger.jobs(f"pets.{task}") if job.spec.kind == kind]


def ends_in_one_pass(pool: Pool) -> None:
    """Each row is labelled once by each task, and the corpus is read once."""
    labelling = of_kind(pool, "classify")
    for job in labelling:
        wait_until(lambda job=job: pool.finished(job), f"{job.job_id} has a summary")
        summary = pool.ledger.summary(job.job_id)
        assert summary is not None and (summary["status"], summary["failed"]) == ("done", 0)
        found = [json.loads(row) for row in result_rows(pool.ledger, job.job_id)]
        assert [row["index"] for row in found] == list(range(ROWS))
        kept = corpus_vectors(pool.ledger, job.job_id)
        assert (sum(len(rows) for rows, _ in kept), kept.missing) == (ROWS, 0)
    assert shards_taken(pool, labelling[0]) >= ROWS // 100
    assert shards_taken(pool, labelling[1]) == 0
    wait_until(lambda: not len(pool.broker.board(CPU_QUEUE)), "nothing is outstanding")
    wait_until(lambda: pool.ledger.active() == [], "no job is active")


@pytest.mark.parametrize("dies", [False, True])
def test_tasks_with_pilots_share_a_pass_although_one_pilot_ends_first(
    pool: Pool, tmp_path: Path, dies: bool
) -> None:
    pool.start("cpu")
    death = {"FAKE_DIE": "before commit", "FAKE_DIED": str(tmp_path / "died")} if dies else {}
    pool.start("gpu", **death)

    run_tasks(pool, tmp_path)

    ends_in_one_pass(pool)
    assert (tmp_path / "died").exists() == dies


def test_a_task_that_cannot_be_fitted_does_not_keep_the_other_waiting(pool: Pool, tmp_path: Path) -> None:
    # given examples of the second task of which only one class can be read
    pool.start("cpu")
    pool.start("gpu")

    run_tasks(pool, tmp_path, two="-rotten")

    one, two = of_kind(pool, "classify")
    wait_until(lambda: pool.finished(one), "the first task has ended")
    assert job_state(pool.ledger, two)["status"] == "blocked"
    assert job_state(pool.ledger, of_kind(pool, "pilot")[1])["status"] == "blocked"


@pytest.mark.parametrize("stopped", ["pilot", "classify"])
def test_a_task_that_is_cancelled_does_not_keep_the_other_waiting(
    pool: Pool, tmp_path: Path, stopped: str
) -> None:
    run_tasks(pool, tmp_path)
    pool.ledger.cancel(of_kind(pool, stopped)[1].job_id)
    pool.ledger.deactivate(of_kind(pool, stopped)[1].job_id)

    pool.start("cpu")
    pool.start("gpu")

    one, two = of_kind(pool, "classify")
    wait_until(lambda: pool.finished(one), "the first task has ended")
    assert not pool.finished(two)

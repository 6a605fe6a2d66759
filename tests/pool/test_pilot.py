"""A pool runs a pilot between the examples and the corpus, while the submitter is away."""

import json
from pathlib import Path
from typing import Any

from click.testing import CliRunner, Result

from jobs.cli import main
from jobs.ledger.results import result_rows
from jobs.records.job import Job
from jobs.records.message import CPU_QUEUE
from jobs.reduce.status import job_state
from tests.pool.servers import CLASSES, MODEL, Pool, RedisServer, wait_until, write_manifest

ROWS = 260  # enough for a readout that learns from the corpus
PLACE = "s3://corpus/manifests"


def submit(pool: Pool, *arguments: object) -> Result:
    where = ["--workspace", pool.address, "--broker", pool.redis.url]
    return CliRunner().invoke(main, [*map(str, arguments), *where], catch_exceptions=False)


def run_pets(pool: Pool, place: object, *more: object, rows: int = ROWS, word: str = "") -> Result:
    """A run with its default readout, handed to the pool; `word` is in the ids of a class of the examples."""
    train = write_manifest(
        f"{place}/train.jsonl", 24, lambda i: f"{CLASSES[i % 3]}-t{i}{word if i % 3 else ''}"
    )
    data = write_manifest(f"{place}/data.jsonl", rows, lambda i: f"{CLASSES[i % 3]}-{i}")
    return submit(
        pool,
        *("run", "--train", train, "--data", data, "--model", MODEL, "--name", "pets"),
        *("--shard-size", 100, *more),
    )


def jobs_of(pool: Pool) -> dict[str, Job]:
    return {job.spec.kind: job for job in pool.ledger.jobs("pets")}


def summaries_of(pool: Pool) -> list[dict[str, Any]]:
    found = [pool.ledger.summary(job.job_id) for job in jobs_of(pool).values()]
    return [summary for summary in found if summary is not None]


def ends_with_all_rows(pool: Pool) -> None:
    wait_until(lambda: len(summaries_of(pool)) == 3, "all three jobs have a summary")
    assert [(s["kind"], s["status"], s["failed"]) for s in summaries_of(pool)] == [
        ("extract", "done", 0),
        ("pilot", "done", 0),
        ("classify", "done", 0),
    ]
    rows = [json.loads(row) for row in result_rows(pool.ledger, jobs_of(pool)["classify"].job_id)]
    assert [row["index"] for row in rows] == list(range(ROWS))
    assert sum(row["prediction"] in row["id"] for row in rows) > 0.9 * ROWS
    assert summaries_of(pool)[1]["readout"]["chosen"] == "corpus"
    wait_until(lambda: not len(pool.broker.board(CPU_QUEUE)), "nothing is outstanding")
    wait_until(lambda: pool.ledger.active() == [], "no job is active")


def test_a_pool_runs_all_three_jobs_without_their_submitter(pool: Pool, tmp_path: Path) -> None:
    # given three jobs that were handed over before any worker ran
    said = run_pets(pool, tmp_path)
    assert said.exit_code == 0 and said.stdout.count("waits for the job before it") == 2
    states = [job_state(pool.ledger, job)["status"] for job in jobs_of(pool).values()]
    assert states == ["running", "waiting", "waiting"]

    pool.start("cpu")
    pool.start("gpu")

    ends_with_all_rows(pool)


def test_a_pilot_in_a_bucket_is_planned_by_a_cpu_worker_which_may_die(
    bucket: str, redis_server: RedisServer, tmp_path: Path
) -> None:
    # given a workspace and manifests on S3
    logs = tmp_path / "logs"
    logs.mkdir()
    pool = Pool(redis_server, tmp_path / "unused", logs, "s3://corpus/workspace")
    try:
        said = run_pets(pool, PLACE)
        assert said.stdout.count("queued for planning by a cpu worker") == 3
        assert not any(pool.ledger.is_planned(job.job_id) for job in jobs_of(pool).values())

        # if a cpu worker's child is killed while it plans
        pool.start("cpu", FAKE_DIE="before the plan", FAKE_DIED=str(tmp_path / "died"))
        pool.start("gpu")

        ends_with_all_rows(pool)
        assert (tmp_path / "died").exists()
    finally:
        pool.stop()


def test_a_worker_that_dies_in_the_pilot_does_not_change_the_end(pool: Pool, tmp_path: Path) -> None:
    # given a pool whose extract job is done
    pool.start("cpu")
    gpu = pool.start("gpu")
    run_pets(pool, tmp_path)
    ends_with_all_rows(pool)
    calm = list(result_rows(pool.ledger, jobs_of(pool)["classify"].job_id))
    gpu.terminate()
    gpu.wait(timeout=30)
    for kind in ("classify", "pilot"):
        assert submit_delete(pool, jobs_of(pool)[kind].job_id).exit_code == 0

    # if a worker's child is killed at a shard of the pilot
    pool.start("gpu", FAKE_DIE="before commit", FAKE_DIED=str(tmp_path / "died"))
    run_pets(pool, tmp_path)

    ends_with_all_rows(pool)
    assert (tmp_path / "died").exists()
    assert list(result_rows(pool.ledger, jobs_of(pool)["classify"].job_id)) == calm


def submit_delete(pool: Pool, job_id: str) -> Result:
    arguments = ["delete", job_id, "--yes", "--workspace", pool.address]
    return CliRunner().invoke(main, arguments, catch_exceptions=False)


def test_after_a_failed_extract_job_waiting_for_the_others_ends(pool: Pool, tmp_path: Path) -> None:
    # given examples of which only one class can be read
    pool.start("cpu")
    pool.start("gpu")

    said = run_pets(pool, tmp_path, "--wait", "--max-failure-rate", 1, word="-rotten")

    assert said.exit_code == 1
    for kind in ("pilot", "classify"):
        assert f"{jobs_of(pool)[kind].job_id}: not run, because the job before it is not done" in said.output
    states = [job_state(pool.ledger, job)["status"] for job in jobs_of(pool).values()]
    assert states == ["failed", "blocked", "blocked"]

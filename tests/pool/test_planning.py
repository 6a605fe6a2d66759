"""Manifests on S3 are planned by a cpu worker, whoever dies meanwhile and whatever is wrong with them."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from jobs.cli import main
from jobs.ledger.results import result_rows
from jobs.queue.broker import ServingWorker
from jobs.queue.enqueue import enqueue_due
from jobs.queue.timeouts import Timeouts
from jobs.records.job import Job
from jobs.records.message import CPU_QUEUE, PlanJob
from jobs.reduce.status import job_state
from jobs.run.advance import attempt_to_advance
from jobs.shards.allowed_roots import Roots
from jobs.submit.submission import classify_job, extract_job, submit
from savs.storage import open_store
from tests.pool.servers import MODEL, TIMES, Pool, cpu_worker, queue_length, wait_until, write_manifest

PLACE = "s3://corpus/manifests"
ALLOWED = Roots.of([PLACE])


def write_both(place: str = PLACE) -> None:
    write_manifest(f"{place}/train.jsonl", 12, lambda i: f"{('cat', 'dog', 'owl')[i % 3]}-t{i}")
    write_manifest(f"{place}/data.jsonl", 30, lambda i: f"{('cat', 'dog', 'owl')[i % 3]}-{i}")


def jobs_of(pool: Pool, place: str = PLACE) -> list[Job]:
    """An extract job and the classify job after it, left to be planned, on the queue."""
    first = extract_job(
        "pets", MODEL, f"{place}/train.jsonl", heads=5, readout="reference", shard_size=6, batch_tokens=4
    )
    artifact = pool.ledger.artifact_url("pets", first.job_id)
    second = classify_job(
        "pets", MODEL, f"{place}/data.jsonl", artifact, after=first.job_id, shard_size=10, batch_tokens=4
    )
    jobs = submit(pool.ledger, [first, second], plan_remote=False)
    enqueue_due(pool.ledger, pool.broker, jobs)
    return jobs


def plan(pool: Pool, job: Job, roots: Roots = ALLOWED, times: Timeouts = TIMES) -> str:
    """What a cpu worker does with the message that is on the queue."""
    entry = pool.broker.board(CPU_QUEUE).entry(job.job_id, "plan")
    assert entry is not None
    message = PlanJob(job_id=job.job_id, epoch=entry.epoch, at=entry.at)
    return attempt_to_advance(cpu_worker(pool, times, roots), message)


def run_pets(pool: Pool, *more: str) -> Result:
    return CliRunner().invoke(
        main,
        [
            *("run", "--train", f"{PLACE}/train.jsonl", "--data", f"{PLACE}/data.jsonl", "--model", MODEL),
            *(
                "--name",
                "pets",
                "--heads",
                "5",
                "--readout",
                "reference",
                "--shard-size",
                "10",
                "--workspace",
                pool.address,
            ),
            *("--broker", pool.redis.url, *more),
        ],
        catch_exceptions=False,
    )


def test_run_leaves_the_planning_of_manifests_on_s3_to_a_cpu_worker_which_may_die(
    bucket: str, pool: Pool
) -> None:
    # given two jobs on S3 that were submitted while no worker lived
    write_both()
    said = run_pets(pool)
    jobs = pool.ledger.jobs("pets")
    assert said.exit_code == 0 and said.stdout.count("queued for planning by a cpu worker") == 2
    assert not any(pool.ledger.is_planned(job.job_id) for job in jobs)
    assert [job_state(pool.ledger, job)["status"] for job in jobs] == ["planning", "planning"]
    assert queue_length(pool) == 0 and len(pool.broker.board(CPU_QUEUE)) == 2

    # if a cpu worker's child is killed while it plans
    died = pool.workspace.parent / "died"
    pool.start("cpu", FAKE_DIE="before the plan", FAKE_DIED=str(died))
    pool.start("gpu")

    # then the jobs are planned all the same, and run
    wait_until(lambda: all(pool.finished(job) for job in jobs), "both jobs have a summary")
    assert died.exists()
    assert len(list(result_rows(pool.ledger, jobs[1].job_id))) == 30
    wait_until(lambda: not len(pool.broker.board(CPU_QUEUE)), "nothing is outstanding")
    assert pool.ledger.active() == []


def test_with_plan_here_the_submitter_plans(bucket: str, pool: Pool) -> None:
    write_both()

    said = run_pets(pool, "--plan", "here")

    assert "to be planned" not in said.stdout
    assert all(pool.ledger.is_planned(job.job_id) for job in pool.ledger.jobs("pets"))
    assert queue_length(pool) == 2 and not len(pool.broker.board(CPU_QUEUE))


def test_a_local_manifest_is_planned_by_the_submitter(pool: Pool, tmp_path: Path) -> None:
    jobs = pool.submit(rows=20, shard_size=10)

    assert all(pool.ledger.is_planned(job.job_id) for job in jobs)


def test_a_training_manifest_with_unusable_rows_fails_its_job_and_blocks_what_waits(
    bucket: str, pool: Pool
) -> None:
    write_both()
    open_store(PLACE).write(
        "train.jsonl", b'{"question": "What?", "label": "cat"}\n{\n\n{"question": "?", "label": 3}\n'
    )
    extract, classify = jobs_of(pool)

    words = [plan(pool, job) for job in (extract, classify)]

    assert words == ["given up", "done"]
    summary = pool.ledger.summary(extract.job_id)
    assert summary is not None and summary["status"] == "failed"
    assert f"{PLACE}/train.jsonl:2: not JSON" in summary["reason"]
    assert f"{PLACE}/train.jsonl:4: 'label' must be text, not a number" in summary["reason"]
    assert summary["advice"] == "fix it and submit it again"
    states = [job_state(pool.ledger, job) for job in (extract, classify)]
    assert [state["status"] for state in states] == ["failed", "blocked"]
    assert "train.jsonl:2" in states[0]["reason"]
    assert not len(pool.broker.board(CPU_QUEUE)) and queue_length(pool) == 0
    watched = CliRunner().invoke(main, ["watch", "pets", "--workspace", pool.address])
    assert watched.exit_code == 1 and "train.jsonl:2: not JSON" in watched.stdout


def test_a_manifest_outside_every_workers_roots_fails_its_job_and_resume_goes_on_once_it_is_inside(
    bucket: str, pool: Pool
) -> None:
    write_both("s3://corpus/elsewhere")
    extract, _ = jobs_of(pool, "s3://corpus/elsewhere")

    assert plan(pool, extract) == "refused"
    assert plan(pool, extract, times=replace(TIMES, no_life=0.0)) == "given up"

    summary = pool.ledger.summary(extract.job_id)
    assert summary is not None
    assert "s3://corpus/elsewhere/train.jsonl is outside this worker's allowed roots" in summary["reason"]
    assert summary["advice"] == "fix it, then: savs-submit resume pets"
    pool.broker.show_life(CPU_QUEUE, ServingWorker("here", 1, pool.address))  # else `resume` would plan
    resumed = CliRunner().invoke(
        main, ["resume", "pets", "--workspace", pool.address, "--broker", pool.redis.url]
    )
    assert resumed.exit_code == 0
    assert plan(pool, extract, Roots.of(["s3://corpus/elsewhere"])) == "done"
    assert queue_length(pool) == 2


@pytest.mark.parametrize("after", ["changed", "deleted"])
def test_a_manifest_that_is_not_what_was_submitted_fails_its_job(bucket: str, pool: Pool, after: str) -> None:
    write_both()
    extract, _ = jobs_of(pool)
    if after == "changed":
        write_manifest(f"{PLACE}/train.jsonl", 9, lambda i: f"{('cat', 'dog', 'owl')[i % 3]}-t{i}")
    else:
        open_store(PLACE).delete("train.jsonl")

    assert plan(pool, extract) == "given up"

    summary = pool.ledger.summary(extract.job_id)
    assert summary is not None and summary["status"] == "failed"
    problem = (
        "has changed since the job was submitted; submit it again" if after == "changed" else "not exist"
    )
    assert problem in summary["reason"]
    assert not pool.ledger.is_planned(extract.job_id)


def test_a_store_that_does_not_answer_costs_attempts_and_at_last_the_job(
    bucket: str, pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_both()
    extract, _ = jobs_of(pool)
    monkeypatch.setenv("SAVS_S3_ENDPOINT_URL", "http://127.0.0.1:1")

    words = [plan(pool, extract, times=Timeouts(attempts=2)) for _ in range(2)]

    assert words == ["again", "given up"]
    summary = pool.ledger.summary(extract.job_id)
    assert summary is not None and "s3://corpus/manifests/train.jsonl" in summary["reason"]
    assert json.dumps(summary).count("resume pets") == 1

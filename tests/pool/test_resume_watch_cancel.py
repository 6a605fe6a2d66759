"""What `resume`, `watch` and `cancel` do where a pool has lost messages, its cpu worker, or Redis."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from jobs.cli import main
from jobs.ledger.ledger import Ledger
from jobs.queue.broker import lanes
from jobs.queue.enqueue import enqueue_due
from jobs.records.job import Job
from jobs.records.message import CPU_QUEUE, PlanJob
from jobs.records.plan import Plan
from jobs.run.advance import attempt_to_advance
from jobs.run.sweep import UNDERWAY
from tests.jobs.cli.test_base_install import BASE_INSTALL
from tests.jobs.ledgers import classify_job, extract_job, plan_of, row, write_outcome
from tests.pool.servers import CLASSES, MODEL, Pool, cpu_worker, wait_until, write_manifest

DEMO = "savs.gpu.demo"


def savs_submit(pool: Pool, *arguments: str) -> Result:
    where = ["--workspace", pool.address, "--broker", pool.redis.url]
    return CliRunner().invoke(main, [*arguments, *where], catch_exceptions=False)


def run_pets(pool: Pool, place: str) -> Result:
    files = [
        *("--train", write_manifest(f"{place}/train.jsonl", 12, lambda i: f"{CLASSES[i % 3]}-t{i}")),
        *("--data", write_manifest(f"{place}/data.jsonl", 40, lambda i: f"{CLASSES[i % 3]}-{i}")),
    ]
    how = ["--model", MODEL, "--name", "pets", "--heads", "5", "--readout", "reference", "--shard-size", "6"]
    return savs_submit(pool, "run", *files, *how)


def messages(pool: Pool, queue: str) -> int:
    return sum(int(pool.broker.redis.llen(lane)) for lane in lanes(queue))


def lose_all_messages(pool: Pool, queue: str) -> None:
    """Some time after they were sent."""
    board = pool.broker.board(queue)
    start = board.time()
    wait_until(lambda: board.time() > start + UNDERWAY, "the messages are no longer under way")
    pool.broker.redis.delete(*lanes(queue))


def submitted(pool: Pool, *jobs: Job) -> list[Job]:
    """`jobs` of a shard of two rows, handed to the pool."""
    written = [pool.ledger.create_job(job, plan_of(2)) for job in jobs]
    enqueue_due(pool.ledger, pool.broker, written)
    return written


def test_resume_puts_back_at_once_what_was_queued_and_has_no_message(pool: Pool) -> None:
    submitted(pool, classify_job())
    lose_all_messages(pool, DEMO)

    said = savs_submit(pool, "resume", "pets")
    again = savs_submit(pool, "resume", "pets")

    assert said.exit_code == 0 and "shards on the queue: 1" in said.stdout
    assert again.stdout == said.stdout
    assert messages(pool, DEMO) == 1


def test_fault_9_without_a_cpu_worker_an_emptied_redis_is_mended_by_resume_which_ends_the_job(
    pool: Pool, tmp_path: Path
) -> None:
    # given a gpu worker, nobody who plans, reduces and sweeps, and jobs that Redis forgot
    pool.start("gpu", FAKE_BATCH_SECONDS="0.05")
    run_pets(pool, str(tmp_path))
    [extract, classify] = pool.ledger.jobs("pets")
    wait_until(lambda: len(pool.ledger.committed(extract.job_id)) == 2, "the examples are read")
    pool.broker.redis.flushall()

    said = savs_submit(pool, "resume", "pets", "--wait", "--json")

    assert said.exit_code == 0, said.output
    assert [s["status"] for s in json.loads(said.stdout)] == ["done", "done"]
    assert "no cpu worker is running" in said.stderr
    assert pool.ledger.summary(classify.job_id)["labelled"] == 40


def test_resume_without_a_cpu_worker_plans_what_lies_on_s3_and_adds_up_what_has_ended(
    bucket: str, pool: Pool
) -> None:
    # given two jobs that nobody has planned, and one whose shards have ended
    run_pets(pool, "s3://corpus/manifests")
    jobs = pool.ledger.jobs("pets")
    [done] = submitted(pool, classify_job("done"))
    write_outcome(pool.ledger, done, 0, [row(0, "cat"), row(1, "dog")])
    lose_all_messages(pool, CPU_QUEUE)

    planned = savs_submit(pool, "resume", "pets")
    ended = savs_submit(pool, "resume", "done")

    assert all(pool.ledger.is_planned(job.job_id) for job in jobs)
    assert f"{jobs[0].job_id}: shards on the queue: 2" in planned.stdout
    assert f"{jobs[1].job_id}: waits for the job before it" in planned.stdout
    assert "savs-worker cpu" in planned.stderr, "it is said all the same"
    assert ended.stdout == f"{done.job_id}: has ended: done\n"


def test_the_base_install_leaves_a_fit_to_those_who_can_and_says_so(pool: Pool) -> None:
    [job] = submitted(pool, extract_job())
    write_outcome(pool.ledger, job, 0, [row(0, "cat"), row(1, "dog")])

    command = ["resume", "pets", "--workspace", pool.address, "--broker", pool.redis.url]
    said = subprocess.run(
        [sys.executable, "-c", BASE_INSTALL, *command], capture_output=True, text=True, timeout=60
    )

    assert said.returncode == 0
    assert f"{job.job_id} cannot be fitted here; start a cpu worker" in said.stderr
    assert "queued for reduction by a cpu worker" in said.stdout
    assert pool.ledger.summary(job.job_id) is None
    assert len(pool.broker.board(CPU_QUEUE)) == 1


def test_resume_takes_the_newest_jobs_of_a_name_or_the_one_with_that_id(pool: Pool) -> None:
    old, new = submitted(pool, extract_job(heads=5), extract_job(heads=6, minute=1))
    assert savs_submit(pool, "cancel", "pets").exit_code == 0

    savs_submit(pool, "resume", "pets")
    assert [pool.ledger.is_cancelled(job.job_id) for job in (old, new)] == [True, False]
    savs_submit(pool, "resume", old.job_id)

    assert not pool.ledger.is_cancelled(old.job_id)


def test_the_command_that_joins_an_old_cancelled_job_names_it_by_its_id(pool: Pool, tmp_path: Path) -> None:
    run_pets(pool, str(tmp_path))
    pool.ledger.create_job(extract_job(minute=10**7), plan_of(2))
    [extract, *_] = pool.ledger.jobs("pets")
    savs_submit(pool, "cancel", "pets")

    said = run_pets(pool, str(tmp_path))

    assert said.exit_code == 1 and f"continue: savs-submit resume {extract.job_id}" in said.stderr


def test_every_model_that_no_worker_serves_is_named(pool: Pool) -> None:
    first, second = classify_job(), extract_job()
    other = second.model_copy(update={"spec": second.spec.model_copy(update={"model": "other/model"})})
    submitted(pool, first, other)

    said = savs_submit(pool, "resume", "pets").stderr

    assert "savs-worker gpu --model demo " in said and "savs-worker gpu --model other/model " in said


class CancelledMeanwhile(Ledger):
    """A ledger whose job is cancelled while it is planned."""

    def create_plan(self, job_id: str, plan: Plan, sample: bytes | None = None) -> None:
        super().create_plan(job_id, plan, sample)
        self.cancel(job_id)


def test_a_job_that_is_cancelled_while_it_is_planned_is_not_enqueued(pool: Pool, tmp_path: Path) -> None:
    job = extract_job()
    train = write_manifest(f"{tmp_path}/train.jsonl", 4, lambda i: f"{CLASSES[i % 3]}-{i}")
    ledger = CancelledMeanwhile(pool.address)
    source = job.spec.source.model_copy(update={"url": train, "etag": etag_of(train)})
    job = ledger.create_job(job.model_copy(update={"spec": job.spec.model_copy(update={"train": source})}))
    enqueue_due(ledger, pool.broker, [job])

    word = attempt_to_advance(replace(cpu_worker(pool), ledger=ledger), PlanJob(job_id=job.job_id))

    assert word == "done" and ledger.is_planned(job.job_id)
    assert messages(pool, DEMO) == len(pool.broker.board(DEMO)) == len(pool.broker.board(CPU_QUEUE)) == 0


def etag_of(path: str) -> str:
    from savs.storage import open_parent

    store, key = open_parent(path)
    return store.etag(key)


class CancelledLate(Ledger):
    """A ledger whose job is cancelled, and taken off the boards, just before its shards are put there."""

    def committed(self, job_id: str) -> set[int]:
        self.cancel(job_id)
        return super().committed(job_id)


def test_shards_that_come_to_the_board_after_their_job_was_cancelled_do_not_stay_there(pool: Pool) -> None:
    ledger = CancelledLate(pool.address)
    job = ledger.create_job(classify_job(), plan_of(2, 2))

    assert enqueue_due(ledger, pool.broker, [job]) == {job.job_id: 0}
    assert len(pool.broker.board(DEMO)) == 0


def test_cancel_marks_every_job_even_where_redis_is_away_and_says_what_is_left(pool: Pool) -> None:
    jobs = submitted(pool, extract_job(), classify_job())
    pool.redis.kill()

    said = savs_submit(pool, "cancel", "pets")

    assert said.exit_code == 1 and said.stderr.count("\n") == 1, said.stderr
    assert "cancelled, but the broker does not answer" in said.stderr
    assert "until you repeat: savs-submit cancel pets" in said.stderr
    assert all(pool.ledger.is_cancelled(job.job_id) for job in jobs)

    # and it is as it says
    pool.redis.start()
    assert savs_submit(pool, "cancel", "pets").exit_code == 0
    assert len(pool.broker.board(DEMO)) == 0


def test_a_watch_on_a_redis_that_stays_away_ends_with_one_sentence(
    pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("jobs.run.watch.BLIND_LOOKS", 2)
    submitted(pool, classify_job())
    pool.redis.kill()

    said = savs_submit(pool, "watch", "pets")

    assert said.exit_code == 1
    first, last = said.stderr.splitlines()
    assert first.startswith("cannot read the jobs' state now, will try again: ")
    assert last.startswith("savs-submit: the broker does not answer")
    pool.redis.start()


def test_an_endpoint_in_the_settings_file_is_the_one_that_all_commands_and_workers_use(
    bucket: str, s3_server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from workers.cli import main as worker

    # given an endpoint that only savs.toml knows
    Ledger(f"s3://{bucket}/work").create_job(classify_job(), plan_of(2))
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SAVS_S3_ENDPOINT_URL")
    (tmp_path / "savs.toml").write_text(f's3_endpoint_url = "{s3_server}"\n')

    listed = CliRunner().invoke(main, ["list", "--workspace", f"s3://{bucket}/work", "--json"])
    assert [job["name"] for job in json.loads(listed.stdout)] == ["pets"]
    monkeypatch.delenv("SAVS_S3_ENDPOINT_URL")
    CliRunner().invoke(worker, ["gpu", "--model", "no-such"])
    assert os.environ["SAVS_S3_ENDPOINT_URL"] == s3_server

    # and the environment goes before it
    monkeypatch.setenv("SAVS_S3_ENDPOINT_URL", "minio:9000")
    said = CliRunner().invoke(main, ["list", "--workspace", f"s3://{bucket}/work"])
    assert said.exit_code == 2
    assert said.stderr.strip().endswith("minio:9000 is not an http:// or https:// address")

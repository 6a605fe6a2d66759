"""A job folder that cannot be read, such as a colleague's, costs only itself."""

import json
import os
from pathlib import Path

import pytest

from jobs.ledger.ledger import Ledger
from jobs.queue.enqueue import enqueue_due
from jobs.queue.timeouts import Timeouts
from jobs.records.job import Job
from jobs.records.message import ReduceJob
from jobs.reduce.reducer import fail_job, reduce_job
from jobs.run.advance import attempt_to_advance
from jobs.run.sweep import sweep
from tests.jobs.conftest import savs_submit
from tests.jobs.ledgers import classify_job, plan_of, row, summary_of, write_outcome
from tests.pool.servers import Pool, cpu_worker

QUEUE = "savs.gpu.demo"


@pytest.fixture
def ledger(workspace: Path) -> Ledger:
    return Ledger(str(workspace))


def planned_job(ledger: Ledger, name: str, after: str | None = None, done: bool = False) -> Job:
    job = ledger.create_job(classify_job(name, after=after), plan_of(2))
    if done:
        write_outcome(ledger, job, 0, [row(0, "cat"), row(1, "dog")])
    return job


def spoil(ledger: Ledger, job: Job, file: str, how: str = "loop") -> None:
    """Put something in place of a file of a job that not even root can read as a file."""
    path = Path(ledger.workspace, "jobs", job.job_id, file)
    path.unlink(missing_ok=True)
    if how == "loop":
        path.symlink_to(path.name)
    elif how == "folder":
        path.mkdir()
    else:
        os.mkfifo(path)


@pytest.mark.parametrize("file", ["job.json", "shards.json", "summary.json", "cancelled.json"])
def test_the_sweep_passes_over_a_job_that_cannot_be_read(pool: Pool, file: str) -> None:
    jobs = [planned_job(pool.ledger, name) for name in ("cats", "dogs", "owls")]
    for job in jobs:
        pool.ledger.activate(job.job_id)
    spoil(pool.ledger, jobs[1], file)

    sweep(pool.ledger, pool.broker, Timeouts())

    assert {jobs[0].job_id, jobs[2].job_id} <= {e.job_id for e in pool.broker.board(QUEUE).entries()}


@pytest.mark.parametrize("file", ["job.json", "shards.json", "summary.json"])
def test_a_job_that_is_done_stays_done_if_one_that_waits_cannot_be_read(pool: Pool, file: str) -> None:
    ledger = pool.ledger
    first = planned_job(ledger, "cats", done=True)
    enqueue_due(ledger, pool.broker, [first])
    waiting = [planned_job(ledger, name, after=first.job_id) for name in ("dogs", "owls")]
    for job in waiting:
        ledger.activate(job.job_id)
    spoil(ledger, waiting[0], file)

    word = attempt_to_advance(cpu_worker(pool), ReduceJob(job_id=first.job_id))

    summary = ledger.summary(first.job_id)
    assert word == "done" and summary is not None and summary["status"] == "done"
    assert waiting[1].job_id in {e.job_id for e in pool.broker.board(QUEUE).entries()}


def test_a_failure_never_replaces_a_summary_that_says_done(ledger: Ledger) -> None:
    job = planned_job(ledger, "cats", done=True)
    done = reduce_job(ledger, job)

    told = fail_job(ledger, job, "reduce: no heartbeat")

    assert done is not None and told == ledger.summary(job.job_id)
    assert told["status"] == "done" and told["labelled"] == 2


@pytest.mark.parametrize("before", [None, "failed", "{"])
def test_a_failure_is_written_over_any_other_summary(ledger: Ledger, before: str | None) -> None:
    job = planned_job(ledger, "cats")
    if before == "failed":
        ledger.write_summary(job.job_id, summary_of(job, before))
    elif before is not None:
        ledger.store.write(f"jobs/{job.job_id}/summary.json", before.encode())

    fail_job(ledger, job, "reduce: no heartbeat")

    found = ledger.summary(job.job_id)
    assert found is not None and (found["status"], found["reason"]) == ("failed", "reduce: no heartbeat")


@pytest.mark.parametrize(
    ("file", "how"),
    [
        *[(file, how) for file in ("job.json", "summary.json") for how in ("loop", "folder", "pipe")],
        ("shards.json", "loop"),
    ],
)
def test_list_shows_the_other_jobs_and_names_the_one_that_it_cannot_read(
    ledger: Ledger, file: str, how: str
) -> None:
    jobs = [planned_job(ledger, name) for name in ("cats", "dogs")]
    spoil(ledger, jobs[0], file, how)

    said = savs_submit("list", "--json", "--workspace", ledger.workspace)

    assert said.exit_code == 1 and f"jobs/{jobs[0].job_id}/{file}" in said.stderr
    assert [one["job_id"] for one in json.loads(said.stdout)] == [jobs[1].job_id]


def test_artifacts_names_an_artifact_that_it_cannot_read(ledger: Ledger) -> None:
    folder = Path(ledger.workspace, "artifacts", "pets", "one")
    folder.mkdir(parents=True)
    (folder / "manifest.json").symlink_to("manifest.json")
    (folder.parents[1] / "out").symlink_to("/etc")

    said = savs_submit("artifacts", "--workspace", ledger.workspace)

    assert said.exit_code == 1 and "Traceback" not in said.output
    assert "artifacts/pets/one/manifest.json cannot be read" in said.stderr
    assert "artifacts/out is reached by a link that leads out of" in said.stderr


def test_rates_that_cannot_be_read_or_written_stop_no_job(ledger: Ledger) -> None:
    job = planned_job(ledger, "cats", done=True)
    (Path(ledger.workspace) / "rates").symlink_to("/etc")

    assert ledger.rates(QUEUE) == {}
    summary = reduce_job(ledger, job)
    assert summary is not None and summary["status"] == "done"

"""Workers of the previous release beside those of this one, with jobs under way. `make drill` runs this."""

import io
import json
import os
import subprocess
import sys
import tarfile
from collections import Counter
from pathlib import Path

import pytest

from jobs.ledger.results import result_rows
from jobs.records.job import Job
from tests.pool.servers import CLASSES, MODEL, SHORT, Pool, wait_until, write_manifest

ROOT = Path(__file__).parents[2]
PREVIOUS = "99e734d"  # 0.1.0, as it was when it wrote tests/data/workspace-0.1.0
ROWS, SHARD = 240, 20
START = "import sys; from tests.workers import fake; fake.main(*sys.argv[1:])"

pytestmark = pytest.mark.drill


@pytest.fixture(scope="session")
def previous(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The code of the previous release."""
    folder, git = tmp_path_factory.mktemp("previous"), ["git", "-C", str(ROOT)]
    shallow = subprocess.run([*git, "rev-parse", "--is-shallow-repository"], capture_output=True)
    if shallow.stdout.strip() == b"true":
        pytest.skip("the clone is shallow; `git fetch --unshallow` brings the previous release")
    packed = subprocess.run(
        [*git, "archive", PREVIOUS, "savs", "jobs", "workers", "tests"], capture_output=True
    )
    assert packed.returncode == 0, f"the history of this repository is needed: {packed.stderr.decode()}"
    with tarfile.open(fileobj=io.BytesIO(packed.stdout)) as tar:
        tar.extractall(folder, filter="data")
    return folder


class OldProcesses:
    """Starts workers and commands of the previous release."""

    def __init__(self, folder: Path, pool: Pool) -> None:
        self.folder, self.pool = folder, pool

    def start(self, kind: str) -> "subprocess.Popen[bytes]":
        number = len(self.pool.workers)
        told = os.environ | SHORT | {"FAKE_ROOTS": self.pool.roots, "FAKE_BATCH_SECONDS": "0.2"}
        with (self.pool.logs / f"{number}-{kind}.log").open("wb") as log:
            worker = subprocess.Popen(
                [sys.executable, "-c", START, kind, self.pool.redis.url, self.pool.address, MODEL],
                cwd=self.folder,
                env=told,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self.pool.workers.append(worker)
        return worker

    def submit(self) -> None:
        """A run, put on the queue."""
        place = self.pool.workspace.parent
        train = write_manifest(f"{place}/train.jsonl", 12, lambda i: f"{CLASSES[i % 3]}-t{i}")
        data = write_manifest(f"{place}/data.jsonl", ROWS, lambda i: f"{CLASSES[i % 3]}-{i}")
        arguments = ["run", "--name", "pets", "--model", MODEL, "--train", train, "--data", data]
        limits = ["--shard-size", str(SHARD), "--heads", "5", "--batch-tokens", "4"]
        where = ["--broker", self.pool.redis.url, "--workspace", self.pool.address]
        done = subprocess.run(
            [sys.executable, "-c", "from jobs.cli import main; main()", *arguments, *limits, *where],
            cwd=self.folder,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr


@pytest.fixture
def old(previous: Path, pool: Pool) -> OldProcesses:
    return OldProcesses(previous, pool)


def classify_job(pool: Pool) -> Job:
    [job] = [job for job in pool.ledger.jobs() if "-classify-" in job.job_id]
    return job


def assert_all_there(pool: Pool, job: Job) -> None:
    wait_until(lambda: pool.finished(job), "the job has ended", patience=90)
    indexes = Counter(json.loads(row)["index"] for row in result_rows(pool.ledger, job.job_id))
    assert set(indexes) == set(range(ROWS)) and set(indexes.values()) == {1}
    summary = pool.ledger.summary(job.job_id)
    assert summary is not None and (summary["labelled"], summary["failed"]) == (ROWS, 0)


def test_a_job_under_way_goes_on_while_workers_are_replaced_one_kind_after_the_other(
    pool: Pool, old: OldProcesses
) -> None:
    # given a job of the previous release, and its workers
    planner = old.start("cpu")
    old.start("gpu")
    old.submit()
    job = classify_job(pool)
    wait_until(lambda: pool.ledger.committed(job.job_id), "a shard is done")

    # when cpu workers are replaced, and then a new gpu worker comes
    pool.start("cpu")
    planner.terminate()
    pool.start("gpu", FAKE_BATCH_SECONDS="0.1")
    planner.wait()

    # then both gpu workers run shards, and every row is there once
    assert_all_there(pool, job)
    assert f"job={job.job_id}" in pool.log(1) and f"shard claimed job={job.job_id}" in pool.log(3)


def test_an_old_gpu_worker_leaves_a_new_job_to_new_ones_and_says_why(pool: Pool, old: OldProcesses) -> None:
    pool.start("cpu")
    old.start("gpu")
    wait_until(lambda: "ready, queue" in pool.log(1), "the old worker is ready")
    pool.start("gpu")

    job = pool.submit(ROWS, SHARD)[1]

    assert_all_there(pool, job)
    assert "refused a message: it was sent by a newer savs; upgrade this worker" in pool.log(1)

"""Several tasks in one pass, in a pool: one job is on the queue, and all of them end."""

import json

import pytest

from jobs.ledger.ledger import Ledger
from jobs.ledger.results import result_rows
from jobs.queue.enqueue import cancel_job, enqueue_due
from jobs.records.job import Job
from jobs.records.message import gpu_queue
from jobs.run.advance import plan_then_enqueue
from jobs.shards.companions import join_jobs
from jobs.submit.submission import classify_job, classify_jobs, extract_job, submit
from tests.pool.servers import CLASSES, MODEL, Pool, wait_until, write_manifest

HOW = {"shard_size": 10, "batch_tokens": 4}


@pytest.fixture
def artifacts(pool: Pool) -> list[str]:
    """Of three tasks, fitted by a pool in one pass."""
    pool.start("cpu")
    pool.start("gpu")
    place = str(pool.workspace.parent)
    files = {
        name: write_manifest(f"{place}/{name}.jsonl", 12, lambda i, name=name: f"{CLASSES[i % 3]}-{name}{i}")
        for name in ("one", "two", "three")
    }
    jobs = hand(
        pool,
        join_jobs(
            [
                extract_job("set", MODEL, url, split=name, heads=5, readout="reference", **HOW)
                for name, url in files.items()
            ]
        ),
    )
    ended(pool, jobs)
    return [str(pool.ledger.summary(job.job_id)["artifact"]) for job in jobs]


def hand(pool: Pool, jobs: list[Job]) -> list[Job]:
    written = submit(pool.ledger, jobs)
    enqueue_due(pool.ledger, pool.broker, written)
    return written


def labelling(pool: Pool, artifacts: list[str], rows: int, slow: int | None = None) -> list[Job]:
    data = write_manifest(
        f"{pool.workspace.parent}/data.jsonl", rows, lambda i: f"{CLASSES[i % 3]}-{i}{'-slow' * (i == slow)}"
    )
    return classify_jobs("night", None, data, artifacts, **HOW)


def ended(pool: Pool, jobs: list[Job]) -> None:
    for job in jobs:
        wait_until(lambda job=job: pool.finished(job), f"{job.job_id} has a summary")
        assert pool.ledger.summary(job.job_id)["status"] == "done"


def indices(ledger: Ledger, job: Job) -> list[int]:
    return [json.loads(line)["index"] for line in result_rows(ledger, job.job_id)]


def shards_taken(pool: Pool, job: Job) -> int:
    """How often a worker's log says that it took a shard of the job."""
    logs = [path.read_text(errors="replace") for path in pool.logs.glob("*-gpu.log")]
    return sum(line.count("shard claimed") for log in logs for line in log.splitlines() if job.job_id in line)


def test_one_jobs_shards_carry_those_of_all(pool: Pool, artifacts: list[str]) -> None:
    jobs = hand(pool, labelling(pool, artifacts, 60))

    ended(pool, jobs)

    assert [indices(pool.ledger, job) for job in jobs] == [list(range(60))] * 3
    assert [shards_taken(pool, job) for job in jobs] == [6, 0, 0]
    assert len(pool.broker.board(gpu_queue(MODEL))) == 0
    assert not pool.ledger.active()


def test_where_the_first_job_is_cancelled_its_companions_go_on_by_themselves(
    pool: Pool, artifacts: list[str]
) -> None:
    pool.workers[-1].terminate()  # so that nobody is quicker than this test
    pool.workers[-1].wait()
    pool.start("gpu", FAKE_SLOW_SECONDS="3")
    jobs = hand(pool, labelling(pool, artifacts[:2], 60, slow=25))
    wait_until(lambda: pool.ledger.committed(jobs[0].job_id), "the first shards have ended")

    cancel_job(pool.ledger, pool.broker, jobs[0])

    ended(pool, jobs[1:])
    assert pool.ledger.summary(jobs[0].job_id) is None
    assert indices(pool.ledger, jobs[1]) == list(range(60))
    assert shards_taken(pool, jobs[1]) > 0


def test_a_cpu_worker_gives_all_jobs_of_a_manifest_the_same_plan(bucket: str, pool: Pool) -> None:
    # given two jobs on a manifest that nobody has planned, and the second of them planned first
    data = write_manifest("s3://corpus/manifests/data.jsonl", 25, lambda i: f"{CLASSES[i % 3]}-{i}")
    jobs = [classify_job("night", MODEL, data, f"/artifacts/{n}", split=n, **HOW) for n in ("a", "b")]
    first, second = submit(pool.ledger, join_jobs(jobs), plan_remote=False)

    plan_then_enqueue(pool.ledger, pool.broker, second, None)
    assert pool.ledger.is_planned(first.job_id)
    plan_then_enqueue(pool.ledger, pool.broker, first, None)

    plans = [pool.ledger.planned(job.job_id).plan for job in (first, second)]
    assert plans[0] == plans[1] and len(plans[0]) == 3
    assert len(pool.broker.board(gpu_queue(MODEL))) == 3, "the shards of the first alone"

"""`--exit-when-idle`: workers that end by themselves, and what that must not cost."""

import time

from jobs.ledger.ledger import Ledger
from jobs.queue.enqueue import cancel_job
from jobs.records.job import Job
from jobs.records.message import CPU_QUEUE
from jobs.run.demand import is_wanted_later, is_wanted_now
from tests.jobs.ledgers import classify_job, extract_job, plan_of, row, write_outcome
from tests.pool.servers import Pool, RedisServer, wait_until
from tests.pool.zygote import WorkerProcess

DEMO = "savs.gpu.demo"
IDLE = 0.6  # seconds


def start(pool: Pool, kind: str = "gpu", **environment: str) -> WorkerProcess:
    return pool.start(kind, FAKE_EXIT_WHEN_IDLE=str(IDLE), **environment)


def test_workers_end_by_themselves_but_not_while_a_job_waits_for_another(pool: Pool) -> None:
    # given a job that waits for another, whose shards have ended, and nobody who reduces it
    jobs = [extract, _] = pool.submit(rows=20, shard_size=4)
    gpu = start(pool)
    wait_until(lambda: len(pool.ledger.committed(extract.job_id)) == 2, "its shards have ended")
    wait_until(lambda: len(pool.broker.board(pool.queue)) == 0, "the board is empty")

    # when this lasts for longer than a worker waits for work
    time.sleep(3 * IDLE)
    assert "--exit-when-idle): ends" not in pool.log(0), "the job that waits may still bring work"
    workers = [gpu, start(pool, "cpu")]

    # then all that was submitted is done, and all end
    assert [worker.wait(timeout=40) for worker in workers] == [0, 0]
    assert [pool.ledger.summary(job.job_id)["status"] for job in jobs] == ["done", "done"]
    assert all("no work for 0.6 s (--exit-when-idle): ends" in pool.log(n) for n in range(2))


def test_a_job_submitted_while_the_last_worker_leaves_is_run_by_the_next(pool: Pool) -> None:
    # given a worker that is about to leave
    leaving = start(pool)
    wait_until(lambda: "(--exit-when-idle): ends" in pool.log(0), "it leaves")

    # when a job comes at that moment
    [extract, classify] = pool.submit(rows=8, shard_size=4)
    assert leaving.wait(timeout=20) == 0

    # then all of it is still outstanding, for a scaler to see, no attempt counts, and the next worker runs it
    entries = list(pool.broker.board(pool.queue).entries())
    done = len(pool.ledger.committed(extract.job_id))
    assert len(entries) == 2 - done
    assert {(e.state, e.attempts) for e in entries} <= {("queued", 0)}
    for kind in ("cpu", "gpu"):
        pool.start(kind)
    wait_until(lambda: pool.finished(classify), "the classify job has a summary")
    summary = pool.ledger.summary(classify.job_id)
    assert summary is not None and (summary["status"], summary["labelled"]) == ("done", 8)


def test_a_worker_stays_while_redis_is_away(redis_server: RedisServer, pool: Pool) -> None:
    worker = start(pool)
    wait_until(lambda: "ready, queue" in pool.log(0), "it is ready")
    redis_server.kill()
    asked = "cannot tell whether there is work"
    wait_until(lambda: pool.log(0).count(asked) > 6, "it has asked for longer than it waits for work")

    assert worker.poll() is None and "--exit-when-idle): ends" not in pool.log(0)


def wanted(pool: Pool) -> tuple[bool, bool]:
    """Whether active jobs may bring work, for workers of the demo model and for cpu workers."""
    return is_wanted_later(pool.ledger, DEMO), is_wanted_later(pool.ledger, CPU_QUEUE)


def active(ledger: Ledger, job: Job, planned: bool = True) -> Job:
    job = ledger.create_job(job, plan_of(2) if planned else None)
    ledger.activate(job.job_id)
    return job


def test_what_active_jobs_may_still_bring(pool: Pool) -> None:
    ledger = pool.ledger
    assert wanted(pool) == (False, False)
    assert not is_wanted_later(ledger, "savs.gpu.other")

    # a job that is not planned, one with open shards, and one that is only to be reduced
    assert wanted(pool) == (False, False)
    unplanned = active(ledger, classify_job("unplanned"), planned=False)
    assert wanted(pool) == (True, True)
    assert not is_wanted_later(ledger, "savs.gpu.other")
    cancel_job(ledger, None, unplanned)
    ledger.activate(unplanned.job_id)
    assert wanted(pool) == (False, False)
    job = active(ledger, classify_job("open"))
    assert wanted(pool) == (True, True)
    write_outcome(ledger, job, 0, [row(0, "cat"), row(1, "dog")])
    assert wanted(pool) == (False, True)
    ledger.deactivate(job.job_id)

    # a job that waits for another, which may end well, or has not
    first = active(ledger, extract_job("pair"))
    active(ledger, classify_job("pair", after=first.job_id))
    assert wanted(pool) == (True, True)
    ledger.cancel(first.job_id)
    assert wanted(pool) == (False, False)


def test_units_of_any_queue_keep_a_cpu_worker_and_only_its_own_a_gpu_worker(pool: Pool) -> None:
    list(pool.broker.board(DEMO).enqueue("pets-classify-1a2b3c4d", ["0"]))

    assert is_wanted_now(pool.broker, DEMO)
    assert is_wanted_now(pool.broker, CPU_QUEUE)
    assert not is_wanted_now(pool.broker, "savs.gpu.other")

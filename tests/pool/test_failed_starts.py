"""A worker that cannot start says why to everybody who looks at its jobs, until one has started."""

import json
import os
import signal
import socket
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from jobs.cli import main
from jobs.queue.broker import Broker, ServingWorker
from jobs.queue.failed_starts import (
    REMEMBERED,
    SHOWN,
    START,
    failed_starts,
    forget_failed_starts,
    note_failed_start,
)
from jobs.queue.refusals import Refusals
from jobs.queue.timeouts import Timeouts
from jobs.records.job import Job
from jobs.records.message import CPU_QUEUE, gpu_queue
from jobs.run import watch
from jobs.run.hindrances import why_it_waits
from tests.pool.servers import MODEL, Pool, children, wait_until
from tests.pool.test_deploy import GuardedRedis, guarded  # noqa: F401  # a fixture
from tests.workers.looking import waits
from workers.cli import main as worker_main

HOST = socket.gethostname()


def savs_submit(pool: Pool, *arguments: str) -> Result:
    where = ["--workspace", pool.address, "--broker", pool.redis.url]
    return CliRunner().invoke(main, [*arguments, *where], catch_exceptions=False)


def causes(pool: Pool) -> dict[str, tuple[str, ...]]:
    return {cause.reason: cause.workers for cause in failed_starts(pool.broker, pool.queue)}


def told_by_watch(pool: Pool, jobs: list[Job], monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What `watch` tells in its first two looks at the jobs; it reads and writes nothing else of the pool."""
    told: list[str] = []
    monkeypatch.setattr(watch, "LOOK_EVERY", 0.0)
    monkeypatch.setattr(watch, "HINDRANCES_EVERY", 0.0)
    monkeypatch.setattr(watch, "act_as_cpu_worker", lambda *_: None)
    looks = iter(range(2))

    def show(_: object) -> None:
        if next(looks, None) is None:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        watch.follow(pool.ledger, pool.broker, jobs, show, Timeouts(), told.append)
    return told


def test_a_model_that_cannot_be_loaded_shows_everywhere_until_a_worker_has_loaded_it(
    pool: Pool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given a job, and a worker that cannot load its model and has ended
    broken = tmp_path / "broken"
    broken.touch()
    jobs = pool.submit(rows=4, shard_size=4)
    assert pool.start("gpu", FAKE_BREAK=str(broken)).wait(timeout=20) == 1

    # then watch, status and doctor name the reason, the machine, and what to do
    reason = f"{HOST} cannot start: RuntimeError: no such weights; mend it there and start the worker again"
    assert causes(pool) == {"RuntimeError: no such weights": (HOST,)}
    told = [line for line in told_by_watch(pool, jobs, monkeypatch) if "cannot start" in line]
    assert len(told) == 1 and told[0].startswith(f"model {MODEL}: {reason}")
    states = json.loads(savs_submit(pool, "status", "pets", "--json").stdout)
    assert [(one["status"], one["reason"] is not None) for one in states] == [
        ("running", True),
        ("waiting", False),
    ]
    assert reason in states[0]["reason"]
    for model in (["--model", MODEL], []):
        found = savs_submit(pool, "doctor", *model)
        assert found.exit_code == 1 and reason in " ".join(found.stdout.split())

    # until a worker of that model is there
    broken.unlink()
    pool.start("gpu", FAKE_BREAK=str(broken))
    wait_until(lambda: "ready, queue" in pool.log(1), "it has started")
    assert causes(pool) == {}
    assert "cannot start" not in savs_submit(pool, "status", "pets").stdout


def test_a_process_that_is_killed_while_it_loads_ends_its_worker_with_the_reason(pool: Pool) -> None:
    worker = pool.start("gpu", FAKE_LOAD_SECONDS="60")
    wait_until(lambda: "loading" in pool.log(0) and children(worker), "it loads")

    [child] = children(worker)
    os.kill(child, signal.SIGKILL)  # as the kernel does when memory runs out

    assert worker.wait(timeout=20) == 1
    [reason] = causes(pool)
    assert reason == "its process was killed while it loaded the model, by SIGKILL"
    [cause] = failed_starts(pool.broker, pool.queue)
    assert "use machines with more memory" in cause.text


@pytest.mark.kill
def test_a_process_that_is_killed_when_it_loads_again_ends_its_worker_with_the_reason(
    pool: Pool, tmp_path: Path
) -> None:
    # given a worker whose process was killed, and whose next one takes long to load
    slow = tmp_path / "slow"
    worker = pool.start("gpu", FAKE_SLOW=str(slow), FAKE_RELOAD_SECONDS="60")
    wait_until(lambda: waits(pool), "it waits for a message")
    slow.touch()
    [first] = children(worker)
    os.kill(first, signal.SIGKILL)
    wait_until(lambda: pool.log(0).count("loading") == 2, "it loads again")

    [second] = [child for child in children(worker) if child != first]
    os.kill(second, signal.SIGKILL)

    assert worker.wait(timeout=20) == 1
    assert list(causes(pool)) == ["its process was killed while it loaded the model"]


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (["--model", "no-such"], "--model: 'no-such' is not a folder with a config.json"),
        (["--model", "demo", "--gpus", "all"], "--gpus all: no GPU: CUDA_VISIBLE_DEVICES hides them"),
    ],
)
def test_a_worker_without_its_checkpoint_or_gpu_says_so_to_the_pool(
    pool: Pool, monkeypatch: pytest.MonkeyPatch, options: list[str], reason: str
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")

    where = ["--broker", pool.redis.url, "--workspace", pool.address]
    ended = CliRunner().invoke(worker_main, ["gpu", *options, *where])

    assert ended.exit_code == 2
    [cause] = failed_starts(pool.broker, gpu_queue(options[1]))
    assert cause.reason.startswith(reason) and cause.workers == (HOST,)


def test_each_cause_is_told_once_with_the_number_of_its_workers(
    pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs = pool.submit(rows=4, shard_size=4)
    for gpu in range(3):
        note_failed_start(pool.broker, pool.queue, "node-1", str(gpu), "CUDA out of memory.\n" + "x" * 1000)
    note_failed_start(pool.broker, pool.queue, "node-2", None, "403: https://me:hush@hub/x is gated")

    told = [line for line in told_by_watch(pool, jobs, monkeypatch) if "cannot start" in line]

    assert len(told) == 2
    assert told[0].startswith(
        f"model {MODEL}: 3 workers (node-1, GPU 0, …) cannot start: CUDA out of memory. x"
    )
    assert told[0].endswith("…; use machines with more memory, or a smaller model")
    assert len(told[0]) < SHOWN + 200
    assert "node-2 cannot start: 403: https://…@hub/x is gated; accept the model's licence" in told[1]
    assert "HF_TOKEN" in told[1]


def test_what_is_old_foreign_or_of_another_gpu_of_a_machine(pool: Pool) -> None:
    broker, queue = pool.broker, pool.queue
    key = START + queue
    broker.redis.set(key, "not a hash")
    assert failed_starts(broker, queue) == []
    for host, gpu in (("node-1", "0"), ("node-1", "1"), ("node-2", None)):
        note_failed_start(broker, queue, host, gpu, "why")
    old = broker.board(queue).time() - REMEMBERED - 1
    for name, value in {
        "old": json.dumps({"reason": "w", "at": old}),
        "bad": "[1]",
        "deep": "[" * 99999,
    }.items():
        broker.redis.hset(key, name, value)
    assert causes(pool) == {"why": ("node-1, GPU 0", "node-1, GPU 1", "node-2")}
    assert 0 < broker.redis.ttl(key) <= REMEMBERED

    forget_failed_starts(broker, queue, "node-1", "0")

    assert causes(pool) == {"why": ("node-1, GPU 1",)}, "nobody restarts that one"


def test_watch_and_status_say_that_the_only_workers_refuse_a_job(
    pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs = [extract, _] = pool.submit(rows=4, shard_size=4)
    for pid in (1, 2):
        pool.broker.show_life(pool.queue, ServingWorker("here", pid, pool.address))
    refusal = "/data/train.jsonl is outside this worker's allowed roots"
    Refusals(pool.broker, pool.queue, "here:1").refuse(extract.job_id, refusal, 100)
    assert why_it_waits(pool.ledger, pool.broker, extract) is None, "the other one may run it"

    Refusals(pool.broker, pool.queue, "here:2").refuse(extract.job_id, refusal, 100)

    said = f"all 2 workers refuse {extract.job_id}: {refusal}; after a while its shards are given up"
    assert [line for line in told_by_watch(pool, jobs, monkeypatch) if "refuse" in line] == [said]
    assert said in " ".join(savs_submit(pool, "status", "pets").stdout.split())


def test_status_says_which_kind_of_worker_a_job_has_none_of(pool: Pool) -> None:
    # given a job whose shards nobody runs
    [extract, _] = pool.submit(rows=4, shard_size=4)
    assert why_it_waits(pool.ledger, pool.broker, extract) == (
        f"no worker is running for model {MODEL}; start one: savs-worker gpu --model {MODEL}"
    )
    where = f"--workspace {pool.address} --broker {pool.redis.url}"
    assert f"start one: savs-worker gpu --model {MODEL} {where}" in savs_submit(pool, "status", "pets").stdout

    # and then a worker that has run them, and a job that nobody reduces
    pool.start("gpu")
    wait_until(lambda: len(pool.ledger.committed(extract.job_id)) == 2, "the examples were read")
    wait_until(lambda: pool.broker.board(CPU_QUEUE).left(extract.job_id), "its reduction is on the board")
    assert why_it_waits(pool.ledger, pool.broker, extract) == (
        "no cpu worker is running; start one: savs-worker cpu"
    )


def test_the_status_of_a_pool_without_redis_is_still_shown(pool: Pool) -> None:
    pool.submit(rows=4, shard_size=4)
    pool.redis.kill()

    shown = savs_submit(pool, "status", "pets")

    assert shown.exit_code == 0 and "pets-extract-" in shown.stdout
    assert "does not answer, so reasons of waiting jobs may be missing" in shown.stderr
    pool.redis.start()


def test_the_users_of_deploy_may_write_and_read_the_reasons(guarded: GuardedRedis) -> None:  # noqa: F811
    worker, submitter = Broker(guarded.url_of("worker")), Broker(guarded.url_of("submitter"))

    note_failed_start(worker, CPU_QUEUE, "node-1", None, "why")
    assert [cause.reason for cause in failed_starts(submitter, CPU_QUEUE)] == ["why"]
    forget_failed_starts(worker, CPU_QUEUE, "node-1", None)
    assert failed_starts(submitter, CPU_QUEUE) == []

"""`savs-submit doctor` names what is wrong with a pool, and never shows a password."""

import json
import os
import re
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from redis import Redis

from jobs.cli import main
from jobs.queue.broker import Broker, ServingWorker
from jobs.records.message import CPU_QUEUE, gpu_queue
from tests.pool.servers import CLASSES, MODEL, Pool, RedisServer, free_port, wait_until, write_manifest


def doctor(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["doctor", *map(str, arguments)], catch_exceptions=False)


def findings(*arguments: object) -> tuple[int, dict[str, tuple[str, str]]]:
    """Exit code, and per thing that was tried its last state and text."""
    said = doctor(*arguments, "--json")
    lines = [json.loads(line) for line in said.stdout.splitlines()]
    return said.exit_code, {one["what"]: (one["state"], one["text"]) for one in lines}


def serve(redis: RedisServer, queue: str, workspace: str, *roots: str) -> None:
    """As a worker's sign of life."""
    Broker(redis.url).show_life(queue, ServingWorker("gpu-7", 42, workspace, roots))


@pytest.fixture
def data(tmp_path: Path) -> str:
    return write_manifest(f"{tmp_path}/data/rows.jsonl", 3, lambda i: f"cat-{i}")


def test_with_everything_right_all_is_good(pool: Pool) -> None:
    data = write_manifest(f"{pool.workspace.parent}/rows.jsonl", 3, lambda i: f"cat-{i}")
    pool.start("cpu")
    pool.start("gpu")
    wait_until(
        lambda: pool.broker.workers(CPU_QUEUE) and pool.broker.workers(pool.queue), "the workers show life"
    )
    where = ("--workspace", pool.workspace, "--broker", pool.redis.url, "--model", MODEL, "--data", data)

    said = doctor(*where)
    code, found = findings(*where)

    assert (said.exit_code, code) == (0, 0), said.output
    assert {state for state, _ in found.values()} == {"good"}
    assert set(found) == {
        *("workspace", "conditional writes", "data", "broker", "writes", "appendonly", "maxmemory-policy"),
        *("cpu worker", f"worker for {MODEL}"),
    }
    assert said.stdout.count("OK   ") == 9
    assert list(pool.ledger.store.list("")) == []


def test_the_advised_workers_start_as_printed_and_run_the_jobs(pool: Pool) -> None:
    # given a pool without workers, and no settings but the options
    folder = pool.workspace.parent
    where = ("--workspace", str(pool.workspace), "--broker", pool.redis.url)
    train = write_manifest(f"{folder}/train.jsonl", 6, lambda i: f"{CLASSES[i % 3]}-{i}")
    how = ("--model", "demo", "--heads", "2", "--name", "pets")
    handed = CliRunner().invoke(main, ["extract", "--train", train, *how, *where], catch_exceptions=False)
    told = doctor("--model", "demo", *where)

    # both name the same commands
    start = re.compile("start one: (savs-worker [^,\n]*)")
    commands = start.findall(handed.stderr)
    assert sorted(commands) == sorted(start.findall(told.stdout)) and len(commands) == 2
    # which work
    program = Path(sys.executable).with_name("savs-worker")
    allowed = os.environ | {"SAVS_ALLOWED_ROOTS": str(folder)}
    for number, command in enumerate(commands):
        words = shlex.split(command)[1:]
        with (pool.logs / f"{number}-advised.log").open("wb") as log:
            pool.workers.append(
                subprocess.Popen(
                    [program, *words], stdout=log, stderr=log, start_new_session=True, env=allowed
                )
            )
    [job] = pool.ledger.jobs()
    wait_until(lambda: pool.finished(job), "the job ends")
    assert doctor("--model", "demo", *where).exit_code == 0


def test_without_a_broker_the_workspace_and_the_data_are_tried(workspace: Path, data: str) -> None:
    code, found = findings("--workspace", workspace, "--data", data)

    assert code == 0
    assert found["broker"] == ("good", "not set: jobs run in the process that submits them")


def test_data_that_is_not_there_is_wrong(workspace: Path, tmp_path: Path) -> None:
    code, found = findings("--workspace", workspace, "--data", tmp_path / "no.jsonl")

    assert code == 1
    assert found["data"][0] == "wrong" and "no.jsonl does not exist" in found["data"][1]


def test_a_workspace_that_cannot_be_written_is_wrong(bucket: str, tmp_path: Path) -> None:
    code, found = findings("--workspace", "s3://no-such-bucket/work")

    assert code == 1 and found["workspace"][0] == "wrong"
    assert "s3://no-such-bucket/work" in found["workspace"][1]


def test_a_redis_that_is_not_there_is_wrong(workspace: Path) -> None:
    url = f"redis://me:secret@127.0.0.1:{free_port()}/0"

    said = doctor("--workspace", workspace, "--broker", url)

    assert said.exit_code == 1
    assert "does not answer" in said.stdout and "FAIL broker" in said.stdout
    assert "secret" not in said.output


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (":mysec@ret@", ""),
        (":mysec%40ret@", ""),
        (":amiss@", ""),
        ("", "?password=mysec%40ret"),
        ("me:@", ""),
    ],
)
def test_a_password_is_never_shown_whatever_becomes_of_it(
    redis_server: RedisServer, workspace: Path, before: str, after: str
) -> None:
    Redis.from_url(redis_server.url).config_set("requirepass", "mysec@ret")
    address = f"127.0.0.1:{redis_server.port}/0"

    said = doctor("--workspace", workspace, "--broker", f"redis://{before}{address}{after}")

    assert said.exit_code == 1  # for want of workers, or of the right password
    assert address in said.stdout
    assert not [word for word in ("mysec", "ret@", "amiss", "40ret") if word in said.output]


def test_no_worker_is_wrong_and_says_how_to_start_one(redis_server: RedisServer, workspace: Path) -> None:
    code, found = findings("--workspace", workspace, "--broker", redis_server.url, "--model", "qwen2.5_vl")

    assert code == 1
    assert found["broker"][0] == "good"
    assert found["cpu worker"] == (
        "wrong",
        "none is running (0 units outstanding, 0 messages waiting); start one: savs-worker cpu",
    )
    assert found["worker for qwen2.5_vl"][1].endswith("start one: savs-worker gpu --model qwen2.5_vl")


def test_a_worker_with_another_workspace_is_wrong(redis_server: RedisServer, workspace: Path) -> None:
    serve(redis_server, CPU_QUEUE, "s3://corpus/other")

    code, found = findings("--workspace", workspace, "--broker", redis_server.url)

    assert code == 1
    assert found["cpu worker"] == ("wrong", "gpu-7:42 has another workspace: s3://corpus/other")


def test_a_worker_that_was_stopped_is_not_counted_as_running(pool: Pool) -> None:
    worker = pool.start("gpu")
    wait_until(lambda: pool.broker.workers(pool.queue) == 1, "the worker shows life")

    worker.send_signal(signal.SIGTERM)

    assert worker.wait(timeout=20) == 0
    assert pool.broker.workers(pool.queue) == 0


def test_data_outside_a_workers_roots_is_wrong(
    redis_server: RedisServer, workspace: Path, data: str, tmp_path: Path
) -> None:
    serve(redis_server, CPU_QUEUE, str(workspace))
    serve(redis_server, gpu_queue(MODEL), str(workspace), "/elsewhere")
    where = ("--workspace", workspace, "--broker", redis_server.url, "--model", MODEL, "--data", data)

    code, found = findings(*where)

    assert code == 1
    state, text = found[f"worker for {MODEL}"]
    assert state == "wrong"
    assert text == f"gpu-7:42 may not read {data}; its roots: {workspace}, /elsewhere"
    assert found["cpu worker"][0] == "doubtful", "it reads a local manifest for some jobs"
    assert f"gpu-7:42 may not read {data}, which it needs for `run` and --adapt" in found["cpu worker"][1]
    serve(redis_server, gpu_queue(MODEL), str(workspace), str(tmp_path / "data"))
    assert findings(*where)[0] == 0


def test_a_manifest_on_s3_outside_a_cpu_workers_roots_is_wrong(
    redis_server: RedisServer, workspace: Path, bucket: str
) -> None:
    data = write_manifest("s3://corpus/data/rows.jsonl", 3, lambda i: f"cat-{i}")
    serve(redis_server, CPU_QUEUE, str(workspace))

    code, found = findings("--workspace", workspace, "--broker", redis_server.url, "--data", data)

    assert code == 1 and "gpu-7:42 may not read s3://corpus/data/rows.jsonl" in found["cpu worker"][1]


def test_settings_of_redis_that_lose_messages_are_doubtful(
    redis_server: RedisServer, workspace: Path
) -> None:
    redis = Redis.from_url(redis_server.url)
    redis.config_set("appendonly", "no")
    redis.config_set("maxmemory-policy", "allkeys-lru")
    serve(redis_server, CPU_QUEUE, str(workspace))

    code, found = findings("--workspace", workspace, "--broker", redis_server.url)

    assert code == 0
    assert found["appendonly"][0] == found["maxmemory-policy"][0] == "doubtful"


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    return tmp_path / "workspace"


@pytest.mark.parametrize(
    ("command", "said"),
    [
        (("REPLICAOF", "127.0.0.1", "1"), "is a read-only replica"),
        (("CONFIG", "SET", "maxmemory", "1"), "memory is full"),
    ],
)
def test_a_redis_that_takes_no_writes_is_named(
    redis_server: RedisServer, workspace: Path, command: tuple[str, ...], said: str
) -> None:
    serve(redis_server, CPU_QUEUE, str(workspace))
    Redis.from_url(redis_server.url).execute_command(*command)

    code, found = findings("--workspace", workspace, "--broker", redis_server.url)

    assert code == 1
    assert found["writes"][0] == "wrong" and said in found["writes"][1]


@pytest.mark.parametrize(("used", "state"), [(0.8, "good"), (0.92, "doubtful")])
def test_a_redis_that_will_soon_take_no_writes_is_doubtful(
    redis_server: RedisServer, workspace: Path, used: float, state: str
) -> None:
    # given so much in Redis that its own few buffers do not count
    redis = Redis.from_url(redis_server.url)
    redis.set("pages", "x" * 20_000_000)
    redis.config_set("maxmemory", int(redis.info()["used_memory"] / used))

    _, found = findings("--workspace", workspace, "--broker", redis_server.url)

    assert found["writes"][0] == state
    assert ("is nearly full" in found["writes"][1]) == (state == "doubtful")

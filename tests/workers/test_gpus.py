"""`--gpus`: which GPUs there are, and a supervisor of real processes."""

import json
import os
import signal
import subprocess
import sys
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest
from click.testing import CliRunner

from jobs.queue.enqueue import enqueue_due
from jobs.records.message import gpu_queue
from jobs.submit.submission import extract_job, submit
from savs.errors import SettingsError
from tests.pool.servers import CLASSES, Pool, wait_until, write_manifest
from tests.workers.looking import runs
from workers.cli import main
from workers.gpus import GpuWorker, chosen_gpus, environment_of, start_worker, supervise
from workers.settings import WorkerSettings

LASTING = "import time; time.sleep(60)"


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The nvidia-smi of a machine with three GPUs, one of them in two parts."""
    tool = tmp_path / "bin" / "nvidia-smi"
    tool.parent.mkdir()
    lines = [
        "GPU 0: H200 (UUID: GPU-0)",
        "  MIG 1g.18gb Device 0: (UUID: MIG-0)",
        "GPU 1: H200",
        "GPU 2: H200",
    ]
    tool.write_text("#!/bin/sh\ncat <<EOF\n" + "\n".join(lines) + "\nEOF\n")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", str(tool.parent), prepend=":")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    return tool


def test_all_are_those_that_the_driver_lists(machine: Path) -> None:
    assert chosen_gpus("all", {}) == ["0", "1", "2"]


@pytest.mark.parametrize(
    ("visible", "gpus"),
    [("2,0", ["2", "0"]), (" GPU-5ad6 , MIG-1f ", ["GPU-5ad6", "MIG-1f"]), ("1,-1,2", ["1"])],
)
def test_all_are_those_that_this_process_may_see(machine: Path, visible: str, gpus: list[str]) -> None:
    assert chosen_gpus("all", {"CUDA_VISIBLE_DEVICES": visible}) == gpus


@pytest.mark.parametrize("visible", ["", "-1"])
def test_all_of_hidden_gpus_is_an_error(machine: Path, visible: str) -> None:
    with pytest.raises(SettingsError, match="CUDA_VISIBLE_DEVICES hides them"):
        chosen_gpus("all", {"CUDA_VISIBLE_DEVICES": visible})


def test_a_list_may_name_only_what_is_in_the_machine(machine: Path) -> None:
    assert chosen_gpus("2,0", {"CUDA_VISIBLE_DEVICES": "1"}) == ["2", "0"]
    with pytest.raises(SettingsError, match="--gpus 0,3: this machine has 3 GPUs, numbered from 0"):
        chosen_gpus("0,3", {})


@pytest.mark.parametrize(("cores", "workers", "threads"), [(96, 8, "12"), (4, 8, "1"), (8, 1, "8")])
def test_workers_share_the_cores_of_the_machine(
    monkeypatch: pytest.MonkeyPatch, cores: int, workers: int, threads: str
) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr("workers.gpus._cores", lambda: cores)
    settings = WorkerSettings("redis://localhost/0", "/workspace", gpu_queue("demo"))
    assert environment_of(settings, "0", workers)["OMP_NUM_THREADS"] == threads

    # unless the user has said how many
    monkeypatch.setenv("OMP_NUM_THREADS", "5")
    assert environment_of(settings, "0", workers)["OMP_NUM_THREADS"] == "5"


def test_all_of_a_machine_without_gpus_is_one_sentence(machine: Path, tmp_path: Path) -> None:
    machine.write_text("#!/bin/sh\necho no devices were found\nexit 6\n")
    options = ["--model", "demo", "--broker", "redis://localhost", "--workspace", str(tmp_path)]

    said = CliRunner().invoke(main, ["gpu", "--gpus", "all", *options])

    assert said.exit_code == 2
    assert said.output == (
        "savs-worker: --gpus all: no GPU: this machine has none; omit --gpus to run the model on the CPU\n"
    )


@pytest.mark.parametrize("wrong", ["a,b", "0,0", "0,00", "-1", "0,-1", "", "0,", "0 1", "1.0", "ALL", "٣"])
def test_a_wrong_list_is_wrong_usage(wrong: str) -> None:
    said = CliRunner().invoke(main, ["gpu", "--model", "demo", f"--gpus={wrong}"])

    assert said.exit_code == 2
    assert "Invalid value for '--gpus'" in said.output


def started(*programs: str) -> list[GpuWorker]:
    return [
        start_worker(str(i), [sys.executable, "-c", program], os.environ)
        for i, program in enumerate(programs)
    ]


def supervised(workers: list[GpuWorker], told: list[int]) -> "Future[int]":
    pool = ThreadPoolExecutor(1)
    future = pool.submit(supervise, workers, told)
    pool.shutdown(wait=False)
    return future


def test_one_that_fails_is_named_and_the_others_go_on(caplog: pytest.LogCaptureFixture) -> None:
    workers, told = started("raise SystemExit(3)", LASTING, LASTING), list[int]()
    ending = supervised(workers, told)
    wait_until(lambda: caplog.records, "the failure is told")

    assert caplog.records[0].getMessage() == ("the worker of GPU 0 ended with exit code 3; 2 others continue")
    assert not ending.done() and workers[1].process.poll() is None

    told.append(signal.SIGTERM)
    assert ending.result(timeout=10) == 3
    assert len(caplog.records) == 1


def test_the_exit_code_of_workers_that_are_told_to_stop_is_0() -> None:
    told = [signal.SIGTERM]

    assert supervised(started(LASTING, LASTING), told).result(timeout=10) == 0


def test_the_exit_code_is_the_first_failures_where_every_worker_fails() -> None:
    killed = "import os; os.kill(os.getpid(), 9)"
    later = "import time; time.sleep(1); raise SystemExit(3)"

    assert supervised(started(killed, later), []).result(timeout=10) == 128 + 9


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere there is no such signal")
def test_a_killed_supervisor_leaves_no_worker_behind() -> None:
    program = f"""
import os, sys, time
from workers.gpus import start_worker
print(start_worker("0", [sys.executable, "-c", {LASTING!r}], os.environ).process.pid, flush=True)
time.sleep(60)
"""
    supervisor = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    assert supervisor.stdout is not None
    worker = int(supervisor.stdout.readline())

    supervisor.kill()
    supervisor.wait()
    supervisor.stdout.close()

    wait_until(lambda: not runs(worker), "the worker is gone")


@pytest.mark.kill
def test_two_gpus_are_two_workers_with_the_real_model_and_both_are_told_to_stop(pool: Pool) -> None:
    # given two workers of the demo model, which this machine runs without a GPU
    log = pool.logs / "supervisor.log"
    options = ["--model", "demo", "--gpus", "0,1", "--workspace", pool.address, "--log-format", "json"]
    with log.open("wb") as out:
        supervisor = subprocess.Popen(
            [sys.executable, "-m", "workers.cli", "gpu", *options, f"--allowed-root={pool.workspace.parent}"],
            env=os.environ | {"SAVS_BROKER_URL": pool.redis.url, "PYTHONPATH": str(Path.cwd())},
            stdout=out,
            stderr=out,
            start_new_session=True,
        )
    pool.workers.append(supervisor)

    # when a job is submitted
    train = write_manifest(f"{pool.workspace.parent}/train.jsonl", 6, lambda i: f"{CLASSES[i % 3]}-{i}")
    new = extract_job("pets", "demo", train, heads=5, readout="reference", shard_size=2, batch_tokens=2)
    [job] = submit(pool.ledger, [new])
    enqueue_due(pool.ledger, pool.broker, [job])

    # then they run it between them
    wait_until(lambda: log.read_text().count(f"ready, queue {gpu_queue('demo')}") == 2, "both are ready", 90)
    wait_until(lambda: len(pool.ledger.committed(job.job_id)) == 3, "the shards are done")
    assert {o.counts.labelled for o in pool.ledger.outcomes(job.job_id)} == {2}

    # and both end when one process is told to
    supervisor.send_signal(signal.SIGTERM)
    assert supervisor.wait(timeout=30) == 0
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    stopped = [line for line in lines if line["message"] == "stopped"]
    assert {line["gpu"] for line in stopped} == {"0", "1"}
    assert all("gpu" in line for line in lines if line["logger"] == "savs.worker")

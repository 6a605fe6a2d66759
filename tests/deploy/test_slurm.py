"""`deploy/slurm/` on a real Slurm of one node: preempted workers, and a night without any service."""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from jobs.ledger.ledger import Ledger
from jobs.queue.broker import Broker
from jobs.records.message import gpu_queue
from tests.deploy.slurm import Slurm, slurm_in
from tests.pool.servers import RedisServer, redis_binary, wait_until

pytestmark = [pytest.mark.deploy, pytest.mark.timeout(240)]

ROOT = Path(__file__).parents[2]
FILES = ROOT / "deploy" / "slurm"
BIN = Path(sys.executable).parent
SMALL = ("--gres=gpu:1", "--mem=2G", "--cpus-per-task=1")  # of this machine, not of a GPU node
SLOW = ("--batch-tokens", "100")
COPIES = 4  # of the demo's corpus, so that workers are busy long enough to be disturbed


@pytest.fixture(scope="module")
def slurm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Slurm]:
    if os.getuid() != 0:
        pytest.fail("the daemons of Slurm need root: sudo make deploy-check", pytrace=False)
    with slurm_in(tmp_path_factory.mktemp("slurm")) as slurm:
        yield slurm


@pytest.fixture
def night(tmp_path: Path) -> Iterator[Path]:
    """A user's folder: the files of deploy/slurm, a corpus, and later logs and results."""
    folder = tmp_path / "night"
    shutil.copytree(FILES, folder)
    subprocess.run(
        [sys.executable, "-m", "savs.demo.corpus", folder], cwd=ROOT, check=True, stdout=subprocess.DEVNULL
    )
    corpus = folder / "stroke" / "corpus.jsonl"
    rows = [json.loads(line) for line in corpus.read_text().splitlines()]
    with corpus.open("w") as stream:
        for copy in range(COPIES):
            for number, row in enumerate(rows):
                stream.write(json.dumps(row | {"question_id": f"{copy}-{number}"}) + "\n")
    yield folder
    for path in sorted(folder.glob("*.log")):  # pytest shows them where the test failed
        print(f"--- {path.name}\n{path.read_text(errors='replace')[-8000:]}")


def settings(broker: str | None = None) -> dict[str, str]:
    """What a user sets instead of editing environment.sh."""
    found = {"PATH": f"{BIN}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT), "SAVS_MODEL": "demo"}
    found |= {"SAVS_SWEEP_EVERY": "1", "IDLE_SECONDS": "3"}
    return found | ({"SAVS_BROKER_URL": broker} if broker else {})


RUN = ("run", "--name", "strokes", "--model", "demo", "--no-report", "--shard-size", "150", *SLOW)
DATA = ("--train", "stroke/train.jsonl", "--data", "stroke/corpus.jsonl")


def labels(folder: Path) -> list[str]:
    """The ids of the rows of the result."""
    done = subprocess.run(
        [BIN / "savs-submit", "results", "strokes", "--workspace", folder / "results"],
        env=os.environ | settings(),
        capture_output=True,
        text=True,
        check=True,
    )
    return [json.loads(line)["id"] for line in done.stdout.splitlines()]


def log(folder: Path, name: str) -> str:
    [path] = folder.glob(name)
    return path.read_text(errors="replace")


def ids() -> list[str]:
    return [f"{copy}-{number}" for copy in range(COPIES) for number in range(300)]


def test_preempted_workers_return_their_shards_and_are_requeued(
    slurm: Slurm, night: Path, redis_server: RedisServer
) -> None:
    # given an array of two workers that label a corpus
    told = os.environ | settings(redis_server.url) | {"SAVS_WORKSPACE": str(night / "results")}
    with (night / "cpu.log").open("wb") as stream:
        cpu = subprocess.Popen(
            [BIN / "savs-worker", "cpu", "--allowed-root", night], env=told, stderr=stream, cwd=night
        )
    try:
        subprocess.run(
            [BIN / "savs-submit", *RUN, *DATA], env=told, cwd=night, check=True, stdout=subprocess.DEVNULL
        )
        array = slurm.submit(
            night, settings(redis_server.url), *SMALL, "--array=0-1", night / "workers.sbatch"
        )
        board = Broker(redis_server.url).board(gpu_queue("demo"))

        def busy() -> bool:
            return [entry.state for entry in board.entries()].count("running") == 2

        wait_until(busy, "both workers have a shard", 60)

        # when a job that is more urgent takes the GPU of one, and the time of the other is nearly over
        urgent = slurm.submit(night, {}, "--partition=urgent", "--gres=gpu:1", "--mem=1G", "--wrap=true")
        tasks = [f"{array}_0", f"{array}_1"]
        wait_until(lambda: slurm.states(array) != ["RUNNING", "RUNNING"], "one is preempted")
        tasks.sort(key=lambda task: slurm.states(task) == ["RUNNING"])
        slurm.ask("scancel", "--batch", "--signal=TERM", tasks[1])

        # then both return their shards at once, and start again
        logs = [f"savs-workers-{task}.log" for task in tasks]
        wait_until(lambda: all("stopped" in log(night, name) for name in logs), "both have ended")
        assert any("shard ended: given back" in log(night, name) for name in logs)
        assert {entry.attempts for entry in board.entries()} <= {0}
        wait_until(lambda: all(log(night, n).count("ready, queue") == 2 for n in logs), "both are back", 90)

        # and end by themselves after the jobs, in which nothing is missing and nothing there twice
        wait_until(lambda: set(slurm.states(array)) <= {"COMPLETED"}, "all workers have ended", 90)
        assert labels(night) == ids()
        assert slurm.states(urgent) == ["COMPLETED"]
        assert [slurm.restarts(task) for task in tasks] == [1, 1]
        assert ["requeued: told to end" in log(night, name) for name in logs] == [False, True]
    finally:
        cpu.send_signal(signal.SIGTERM)
        cpu.wait(30)


def test_a_cancelled_worker_stays_cancelled(slurm: Slurm, night: Path, redis_server: RedisServer) -> None:
    array = slurm.submit(
        night,
        settings(redis_server.url) | {"IDLE_SECONDS": "300"},
        *SMALL,
        "--array=0",
        night / "workers.sbatch",
    )
    name = f"savs-workers-{array}_0.log"
    wait_until(lambda: list(night.glob(name)) and "ready, queue" in log(night, name), "it is ready", 60)

    slurm.ask("scancel", array)

    wait_until(lambda: slurm.states(array) == ["CANCELLED"], "it is cancelled")
    assert slurm.restarts(array) == 0
    assert "stopped" in log(night, name)


def test_a_night_without_any_service_goes_on_after_a_requeue_and_ends_everything(
    slurm: Slurm, night: Path
) -> None:
    (night / "bin").mkdir()
    (night / "bin" / "redis-server").symlink_to(redis_binary())
    path = {"PATH": f"{night / 'bin'}:{settings()['PATH']}"}
    options = path | {"WORKERS": "2", "WORKER_OPTIONS": " ".join(SMALL), "IDLE_SECONDS": "300"}
    job = slurm.submit(
        night, settings() | options, "--mem=2G", "--cpus-per-task=1", night / "pool.sbatch", *RUN, *DATA
    )
    results = Ledger(str(night / "results"))

    def committed() -> int:
        return sum(len(results.committed(name)) for name in results.active())

    wait_until(lambda: committed() > 4, "shards have been done", 90)
    slurm.ask("scancel", "--batch", "--signal=TERM", job)  # as before the end of its time

    wait_until(lambda: slurm.states(job) == ["COMPLETED"], "the job has ended", 120)
    wait_until(lambda: slurm.ask("squeue", "-h") == "", "no worker is left")
    assert slurm.restarts(job) == 1
    assert labels(night) == ids()
    assert "requirepass" not in log(night, f"savs-pool-{job}.log")

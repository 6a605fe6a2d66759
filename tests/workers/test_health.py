"""`savs-worker health`: what its exit code says of real workers."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import asdict, replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from tests.pool.servers import Pool, WorkerProcess, wait_until
from workers.cli import main
from workers.monitoring.signs import MODEL, PARENT, SILENCE, WorkerSigns


def health(folder: Path) -> tuple[int, str]:
    asked = CliRunner().invoke(main, ["health", "--runtime-dir", str(folder)])
    return asked.exit_code, asked.output


def says(folder: Path, state: str) -> bool:
    code, said = health(folder)
    return code == 0 and said.strip().endswith(f": {state}")


def make_old(path: Path) -> None:
    """As if nobody had touched the file for longer than is usual; who can, will touch it again."""
    old = time.time() - 2 * SILENCE
    os.utime(path, (old, old))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "run"


def start(pool: Pool, folder: Path, kind: str = "gpu", **environment: str) -> WorkerProcess:
    return pool.start(kind, SAVS_RUNTIME_DIR=str(folder), **environment)


def test_a_machine_without_a_worker_is_not_healthy(folder: Path) -> None:
    code, said = health(folder)

    assert code == 1
    assert said == (
        f"savs-worker: no running worker has files in {folder}; if one runs with another folder, give it: "
        "--runtime-dir\n"
    )


def test_it_loads_nothing_heavy_and_takes_no_time(folder: Path) -> None:
    heavy = ("torch", "celery", "kombu", "numpy", "pydantic", "redis", "jobs", "savs")
    program = f"""
import sys
from workers.cli import main
main(["health", "--runtime-dir", {str(folder)!r}], prog_name="savs-worker", standalone_mode=False)
"""
    program = program.replace("main([", "try:\n    main([").rstrip() + "\nexcept SystemExit:\n    pass\n"
    program += f"assert not [name for name in {heavy!r} if name in sys.modules]"
    asked = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)

    assert asked.returncode == 0, asked.stderr


def test_a_worker_is_healthy_while_it_loads_waits_works_and_stops_and_leaves_nothing(
    pool: Pool, folder: Path
) -> None:
    # given a worker whose model has been loading for longer than a process may be silent otherwise
    worker = start(pool, folder, FAKE_LOAD_SECONDS="1.5", FAKE_BATCH_SECONDS="0.7")
    model = folder / f"{worker.pid}{MODEL}"
    wait_until(model.exists, "its child has begun")
    make_old(model)
    assert says(folder, "starting")

    # when it gets work, and is told to stop
    wait_until(lambda: says(folder, "ready"), "it is ready")
    pool.submit(rows=4, shard_size=4)
    wait_until(lambda: says(folder, "working"), "it works")
    worker.terminate()

    # then it says so, ends, and leaves nothing
    wait_until(lambda: says(folder, "stopping") or worker.poll() is not None, "it stops")
    assert worker.poll() is None, "it said nothing before it had ended"
    assert worker.wait(timeout=20) == 0
    assert list(folder.iterdir()) == []
    assert health(folder)[0] == 1


@pytest.mark.parametrize("kind", ["gpu", "cpu"])
def test_a_hung_process_is_not_healthy_and_one_that_goes_on_is(pool: Pool, folder: Path, kind: str) -> None:
    worker = start(pool, folder, kind)
    wait_until(lambda: says(folder, "ready"), "it is ready")
    child = json.loads((folder / f"{worker.pid}{MODEL}").read_text())["pid"]

    for pid, suffix, reason in (
        (child, MODEL, f"its process {child}, which runs the work, has given no sign of life"),
        (worker.pid, PARENT, "has given no sign of life"),
    ):
        os.kill(pid, signal.SIGSTOP)
        make_old(folder / f"{worker.pid}{suffix}")
        code, said = health(folder)
        assert (code, f"worker {worker.pid} of " in said, reason in said) == (1, True, True), said
        os.kill(pid, signal.SIGCONT)
        wait_until(lambda: health(folder)[0] == 0, "it has given a sign again")


def test_a_killed_worker_is_not_healthy_at_once_and_the_next_removes_its_files(
    pool: Pool, folder: Path
) -> None:
    worker = start(pool, folder)
    wait_until(lambda: says(folder, "ready"), "it is ready")

    os.killpg(worker.pid, signal.SIGKILL)
    worker.wait(timeout=20)

    assert health(folder)[0] == 1
    make_old(folder / f"{worker.pid}{PARENT}")
    other = start(pool, folder)
    wait_until(lambda: says(folder, "ready"), "the next one is ready")
    assert {path.stem for path in folder.iterdir()} == {str(other.pid)}


def test_one_hung_worker_of_several_is_named(pool: Pool, folder: Path) -> None:
    first, second = start(pool, folder), start(pool, folder)
    wait_until(lambda: health(folder)[1].count(": ready") == 2, "both are ready")

    os.kill(first.pid, signal.SIGSTOP)
    make_old(folder / f"{first.pid}{PARENT}")

    code, said = health(folder)
    assert code == 1
    assert f"worker {second.pid} of {pool.queue}: ready" in said
    assert f"worker {first.pid} of {pool.queue}: has given no sign of life" in said


def test_a_worker_is_healthy_while_redis_is_away(pool: Pool, folder: Path) -> None:
    worker = start(pool, folder)
    wait_until(lambda: says(folder, "ready"), "it is ready")
    pool.redis.kill()
    wait_until(lambda: "onnection" in pool.log(0), "it has noticed")

    for suffix in (PARENT, MODEL):
        make_old(folder / f"{worker.pid}{suffix}")

    wait_until(lambda: health(folder)[0] == 0, "it gives signs all the same")
    pool.redis.start()


def test_a_worker_whose_folder_cannot_be_written_runs_and_says_so(pool: Pool, folder: Path) -> None:
    folder.write_text("not a folder")

    start(pool, folder)

    wait_until(lambda: "ready, queue" in pool.log(0), "it is ready")
    assert "`savs-worker health` cannot see this worker" in pool.log(0)
    assert "--runtime-dir" in pool.log(0)


def test_another_process_with_the_number_of_a_killed_worker_is_none(folder: Path) -> None:
    folder.mkdir()
    signs = WorkerSigns(folder, "savs.cpu")
    born = signs.me.born
    assert born is not None

    for then, code in ((born, 0), (born - 1, 1)):
        signs.parent.write_text(json.dumps(asdict(replace(signs.me, born=then))))
        assert health(folder)[0] == code


def test_a_worker_that_stops_for_longer_than_its_grace_time_is_not_healthy(folder: Path) -> None:
    folder.mkdir()
    signs = WorkerSigns(folder, "savs.cpu")

    signs.stopping(grace=25)
    assert says(folder, "stopping")
    signs.stopping(grace=-2 * SILENCE)

    assert health(folder)[0] == 1 and "should have ended" in health(folder)[1]

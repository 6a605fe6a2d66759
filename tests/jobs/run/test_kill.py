"""A run killed at ten random moments ends like one that nobody disturbed. `make kill` runs this."""

import random
import signal
import subprocess
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from tests.jobs.conftest import (
    Corpus,
    Finished,
    finished,
    run_arguments,
    savs_submit,
    started,
    wait_until,
)
from tests.jobs.run.pilots import Piloted, many_rows, pilot_arguments

KILLS = 10


def files(folder: Path) -> int:
    """Files below `folder`: grows with every part, commit and temporary file."""
    return sum(1 for path in folder.rglob("*") if path.is_file())


@pytest.mark.kill
@pytest.mark.timeout(900)
def test_ten_kills_at_random_moments_change_neither_rows_nor_artifact(
    corpus: Corpus, qwen2_vl: Path, calm: Finished, tmp_path: Path
) -> None:
    def compare(workspace: Path) -> None:
        assert finished(workspace).rows == calm.rows
        assert finished(workspace).tensors == calm.tensors
        assert finished(workspace).outcome() == calm.outcome()

    kill_often(lambda workspace: run_arguments(corpus, qwen2_vl, workspace), compare, 2, tmp_path)


@pytest.mark.kill
@pytest.mark.timeout(900)
def test_ten_kills_of_runs_with_a_pilot_change_neither_rows_nor_artifacts(
    corpus: Corpus, qwen2_vl: Path, tmp_path: Path
) -> None:
    data = many_rows(corpus)

    def command(workspace: Path) -> list[str]:
        return pilot_arguments(corpus, qwen2_vl, workspace, data, "--shard-size", 100)

    assert savs_submit(*command(tmp_path / "calm")).exit_code == 0
    calm = Piloted(tmp_path / "calm")

    def compare(workspace: Path) -> None:
        assert Piloted(workspace).rows == calm.rows
        assert Piloted(workspace).tensors == calm.tensors
        assert Piloted(workspace).outcome() == calm.outcome()

    kill_often(command, compare, 3, tmp_path)


def kill_often(
    command: Callable[[Path], list[str]], compare: Callable[[Path], None], jobs: int, folder: Path
) -> None:
    """Runs `command`, which submits so many jobs, in new workspaces until KILLS processes were killed."""
    seed = random.randrange(2**32)
    rng = random.Random(seed)
    kills = runs = 0

    while kills < KILLS:
        runs += 1
        workspace = folder / f"results-{runs}"
        kills += killed_until_done(command(workspace), workspace, jobs, rng)

        compare(workspace)
    print(f"seed {seed}: {kills} kills in {runs} runs of {jobs} jobs, all as the calm one")


def killed_until_done(command: list[str], workspace: Path, jobs: int, rng: random.Random) -> int:
    """Runs, kills and resumes until a run gets to its end; how many were killed."""
    kills = 0
    while True:
        enough = files(workspace) + rng.randint(0, 4)
        with started(*command) as process:
            # the moment: when it has written a few more files, and a random instant later
            wait_until(partial(_goes_on, process, workspace, enough), "the run goes on")
            try:
                assert process.wait(timeout=rng.uniform(0.0, 1.2)) == 0
                return kills
            except subprocess.TimeoutExpired:
                process.send_signal(signal.SIGKILL)
                kills += 1
        jobs_known = len(list(workspace.glob("jobs/*/job.json"))) == jobs
        if jobs_known and rng.random() < 0.5:
            command = ["resume", "shapes", "--workspace", str(workspace)]


def _goes_on(process: "subprocess.Popen[str]", workspace: Path, enough: int) -> bool:
    return files(workspace) >= enough or process.poll() is not None

"""A run killed at ten random moments ends like one that nobody disturbed. `make kill` runs this."""

import random
import signal
import subprocess
from functools import partial
from pathlib import Path

import pytest

from tests.jobs.conftest import Corpus, Finished, finished, run_arguments, started, wait_until

KILLS = 10


def files(folder: Path) -> int:
    """Files below `folder`: grows with every part, commit and temporary file."""
    return sum(1 for path in folder.rglob("*") if path.is_file())


@pytest.mark.kill
@pytest.mark.timeout(900)
def test_ten_kills_at_random_moments_change_neither_rows_nor_artifact(
    corpus: Corpus, qwen2_vl: Path, calm: Finished, tmp_path: Path
) -> None:
    seed = random.randrange(2**32)
    rng = random.Random(seed)
    kills = runs = 0

    while kills < KILLS:
        runs += 1
        workspace = tmp_path / f"results-{runs}"
        kills += killed_until_done(run_arguments(corpus, qwen2_vl, workspace), workspace, rng)

        assert finished(workspace).rows == calm.rows
        assert finished(workspace).tensors == calm.tensors
        assert finished(workspace).outcome() == calm.outcome()
    print(f"seed {seed}: {kills} kills in {runs} runs, all as the calm one")


def killed_until_done(command: list[str], workspace: Path, rng: random.Random) -> int:
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
        jobs_known = len(list(workspace.glob("jobs/*/job.json"))) == 2
        if jobs_known and rng.random() < 0.5:
            command = ["resume", "shapes", "--workspace", str(workspace)]


def _goes_on(process: "subprocess.Popen[str]", workspace: Path, enough: int) -> bool:
    return files(workspace) >= enough or process.poll() is not None

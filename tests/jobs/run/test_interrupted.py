"""A job that nobody runs any more is called interrupted, with the reason, and is never called running."""

import json
import os
import resource
import signal
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from jobs.ledger.ledger import Ledger
from jobs.ledger.processes import SILENCE, write_process
from jobs.records.process import Process
from jobs.reduce.status import job_state
from tests.jobs.conftest import (
    SHARD,
    Corpus,
    Finished,
    blocked,
    finished,
    one_job,
    run_arguments,
    savs_submit,
    started,
)
from tests.jobs.ledgers import classify_job, plan_of


def states_of(workspace: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(savs_submit("list", "--workspace", workspace, "--json").stdout)
    return found


@pytest.mark.parametrize(
    ("end", "why"), [(signal.SIGINT, "stopped by Ctrl-C"), (signal.SIGKILL, "has died"), (None, None)]
)
def test_a_job_is_running_as_long_as_its_process_lives(
    corpus: Corpus, qwen2_vl: Path, workspace: Path, end: signal.Signals | None, why: str | None
) -> None:
    # given a run that labels the corpus
    with (
        blocked(corpus.pictures[2 * SHARD + 1]) as block,
        started(*run_arguments(corpus, qwen2_vl, workspace)) as process,
    ):
        block.wait_for_reader()
        assert [state["status"] for state in states_of(workspace)] == ["done", "running"]
        # if its process ends, or does not
        if end is not None:
            process.send_signal(end)
        block.feed()
        process.communicate(timeout=60)

    [_, state] = states_of(workspace)
    if why is None:
        assert state["status"] == "done" and not list(workspace.glob("jobs/*/process.json"))
        return
    assert state["status"] == "interrupted" and why in state["reason"]
    said = savs_submit("status", "shapes", "--workspace", workspace).stdout
    assert why in said and "to continue: savs-submit resume shapes" in said
    # and what is advised works
    assert savs_submit("resume", "shapes", "--workspace", workspace).exit_code == 0
    assert [state["status"] for state in states_of(workspace)] == ["done", "done"]
    assert not list(workspace.glob("jobs/*/process.json"))


def test_a_run_whose_disk_is_full_says_so_and_can_be_resumed(
    corpus: Corpus, qwen2_vl: Path, workspace: Path, calm: Finished
) -> None:
    # given a limit that the vectors of the examples do not fit into
    process = subprocess.run(
        [Path(sys.executable).with_name("savs-submit"), *run_arguments(corpus, qwen2_vl, workspace)],
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (2500, 2500)),
        capture_output=True,
        text=True,
        timeout=120,
    )

    assert process.returncode == 1 and "cannot be written: File too large" in process.stderr
    assert "Traceback" not in process.stderr
    first, second = states_of(workspace)
    assert (first["status"], second["status"]) == ("interrupted", "waiting")
    assert "cannot be written: File too large" in first["reason"]

    assert savs_submit("resume", "shapes", "--workspace", workspace).exit_code == 0
    assert finished(workspace).rows == calm.rows


def test_a_process_elsewhere_lives_as_long_as_it_gives_signs(workspace: Path) -> None:
    ledger = Ledger(str(workspace))
    job = ledger.create_job(classify_job(), plan_of(2))

    def state_after(silence: float) -> dict[str, Any]:
        seen = datetime.now(UTC) - timedelta(seconds=silence)
        found = Process(host="elsewhere", pid=1, seen=seen)
        ledger.store.write(f"jobs/{job.job_id}/process.json", found.model_dump_json().encode())
        return job_state(ledger, job)

    assert state_after(1)["status"] == "running"
    late = state_after(SILENCE + 5)
    assert late["status"] == "interrupted"
    assert "process 1 on elsewhere has given no sign of life since 20" in late["reason"]


@pytest.mark.parametrize("data", [b"", b"[]", b'{"host": 3}', b"\xff" * 9])
def test_a_spoilt_sign_of_life_is_none(workspace: Path, data: bytes) -> None:
    ledger = Ledger(str(workspace))
    job = ledger.create_job(classify_job(), plan_of(2))
    ledger.store.write(f"jobs/{job.job_id}/process.json", data)

    assert job_state(ledger, job)["status"] == "interrupted"


def test_who_watches_an_interrupted_job_is_told_and_does_not_wait(workspace: Path) -> None:
    ledger = Ledger(str(workspace))
    job = ledger.create_job(classify_job(), plan_of(2))
    write_process(ledger, job.job_id, "stopped by Ctrl-C")

    said = savs_submit("watch", "pets", "--workspace", workspace)

    assert said.exit_code == 1 and f"{job.job_id}: interrupted: stopped by Ctrl-C" in said.stdout


def test_cancel_stops_a_run_of_another_process(corpus: Corpus, qwen2_vl: Path, workspace: Path) -> None:
    with (
        blocked(corpus.pictures[2 * SHARD + 1]) as block,
        started(*run_arguments(corpus, qwen2_vl, workspace)) as process,
    ):
        block.wait_for_reader()
        assert savs_submit("cancel", "shapes", "--workspace", workspace).exit_code == 0
        block.feed()
        _, stderr = process.communicate(timeout=60)

    assert process.returncode == 1 and "was cancelled; continue: savs-submit resume shapes" in stderr
    assert states_of(workspace)[1]["status"] == "cancelled"
    assert savs_submit("resume", "shapes", "--workspace", workspace).exit_code == 0


@pytest.mark.parametrize("spoilt", ["config.json", "model.safetensors", "tokenizer.json"])
def test_a_model_that_cannot_be_loaded_is_told_before_anything_is_written(
    corpus: Corpus, qwen2_vl: Path, workspace: Path, tmp_path: Path, spoilt: str
) -> None:
    broken = tmp_path / "broken"
    broken.mkdir()
    for path in qwen2_vl.iterdir():
        os.link(path, broken / path.name)
    (broken / spoilt).unlink()
    (broken / spoilt).write_bytes(b"{}")

    said = savs_submit(*run_arguments(corpus, broken, workspace))

    assert said.exit_code == 1 and str(broken) in said.stderr
    assert not list(workspace.glob("jobs/*"))


def test_a_model_that_is_lost_later_interrupts_the_job_with_the_reason(
    corpus: Corpus, qwen2_vl: Path, workspace: Path, tmp_path: Path
) -> None:
    # given a run that was killed, and whose model is then gone
    moved = tmp_path / "model"
    moved.mkdir()
    for path in qwen2_vl.iterdir():
        os.link(path, moved / path.name)
    with (
        blocked(corpus.folder / "pictures" / "train-05.png") as block,
        started(*run_arguments(corpus, moved, workspace)) as process,
    ):
        block.wait_for_reader()
        process.kill()
    moved.rename(tmp_path / "elsewhere")

    said = savs_submit("resume", "shapes", "--workspace", workspace)

    assert said.exit_code == 2 and "is not a folder with a config.json" in said.stderr
    state = job_state(Ledger(str(workspace)), one_job(workspace, "extract"))
    assert state["status"] == "interrupted" and "ModelNotFound: " in state["reason"]


def test_ctrl_c_before_anything_is_written_advises_only_what_works(
    corpus: Corpus, qwen2_vl: Path, workspace: Path, tmp_path: Path
) -> None:
    # given a model whose loading never ends
    slow = tmp_path / "slow"
    slow.mkdir()
    for path in qwen2_vl.iterdir():
        if path.name != "preprocessor_config.json":
            os.link(path, slow / path.name)
    os.mkfifo(slow / "preprocessor_config.json")
    with started(*run_arguments(corpus, slow, workspace)) as process:
        writer = os.open(slow / "preprocessor_config.json", os.O_WRONLY)  # until somebody reads it
        process.send_signal(signal.SIGINT)
        os.close(writer)
        _, stderr = process.communicate(timeout=60)

    assert process.returncode == 1
    assert "stopped; to continue, repeat the command\n" in stderr and "resume" not in stderr
    assert not (workspace / "jobs").exists()

"""`savs-worker` before and around its work: help, settings, errors, and how it ends."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from click.testing import CliRunner

from savs.errors import UnsupportedModel
from savs.model.model import Model
from tests.pool.servers import Pool, children, wait_until
from tests.workers.looking import waits
from workers.cli import main
from workers.gpus import command_of
from workers.settings import WorkerSettings

PASSWORD = "hush-9f2"


def said_by(*arguments: str) -> tuple[int, str]:
    done = CliRunner().invoke(main, arguments)
    return done.exit_code, done.output


@pytest.mark.parametrize("command", [(), ("gpu",), ("cpu",)])
def test_help_shows_an_example_and_loads_nothing_heavy(command: tuple[str, ...]) -> None:
    heavy = ("torch", "celery", "numpy", "pydantic", "redis")
    program = f"""
import sys
from workers.cli import main
main({[*command, "--help"]!r}, prog_name="savs-worker", standalone_mode=False)
assert not [name for name in {heavy!r} if name in sys.modules]
"""
    shown = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)

    assert " ".join(["savs-worker", *(command or ("gpu",)), "--"]) in " ".join(shown.stdout.split())


@pytest.mark.parametrize(
    ("option", "value", "sentence"),
    [
        ("broker", "amqp://localhost", "--broker: amqp:… is not a redis:// or rediss:// address"),
        ("broker", f"redis://:{PASSWORD}/x@host", "--broker: its host or port cannot be read"),
        ("broker", "redis://[::1", "--broker: its host or port cannot be read"),
        ("broker", "", "no broker: use --broker, SAVS_BROKER_URL, or savs.toml"),
        ("workspace", "ftp://host/x", "--workspace: ftp://host/x is neither a folder nor s3://bucket/prefix"),
        ("workspace", __file__, "is a file; a folder is needed"),
        ("workspace", "", "no workspace: use --workspace, SAVS_WORKSPACE, or savs.toml"),
        ("model", "no-such", "--model: 'no-such' is not a folder with a config.json, a hub id"),
    ],
)
def test_what_cannot_be_used_is_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, option: str, value: str, sentence: str
) -> None:
    monkeypatch.chdir(tmp_path)
    given = {"broker": "redis://localhost", "workspace": str(tmp_path), "model": "demo"} | {option: value}

    code, said = said_by("gpu", *(f"--{name}={text}" for name, text in given.items() if text))

    assert code == 2
    assert said.startswith("savs-worker: ") and said.count("\n") == 1
    assert sentence in said
    assert PASSWORD not in said


@pytest.mark.parametrize("gpus", [(), ("--gpus", "0")])
def test_a_worker_tries_its_model_unless_told_otherwise(
    tmp_path: Path, stretched: Path, monkeypatch: pytest.MonkeyPatch, gpus: tuple[str, ...]
) -> None:
    # given a model that fails the self-test, and a worker of the command line or of a supervisor
    loads: list[Callable[[], Model]] = []
    monkeypatch.setattr(
        "workers.cli.work", lambda settings, load: loads.append(partial(load, settings.model))
    )
    monkeypatch.setattr(
        "workers.cli.work_on_gpus",
        lambda settings, _: main(command_of(settings, 0)[4:], standalone_mode=False),
    )
    arguments = ["gpu", "--model", str(stretched), "--broker", "redis://localhost", *gpus]
    monkeypatch.setenv("SAVS_BROKER_URL", "redis://localhost")

    for flag in ([], ["--skip-self-test"]):
        assert said_by(*arguments, "--workspace", str(tmp_path), *flag) == (0, "")

    # then it is refused, or loaded
    [try_it, skip_it] = loads
    with pytest.raises(UnsupportedModel, match="--skip-self-test"):
        try_it()
    assert skip_it().name == str(stretched)


@pytest.mark.parametrize("source", ["savs.toml", "environment"])
def test_broker_and_workspace_may_come_from_settings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str
) -> None:
    monkeypatch.chdir(tmp_path)
    if source == "savs.toml":
        (tmp_path / "savs.toml").write_text('broker_url = "redis://localhost"\nworkspace = "ftp://there"\n')
    else:
        monkeypatch.setenv("SAVS_BROKER_URL", "redis://localhost")
        monkeypatch.setenv("SAVS_WORKSPACE", "ftp://there")

    code, said = said_by("cpu")

    assert code == 2
    assert "ftp://there is neither a folder" in said


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"SAVS_NO_LIFE_LIMIT": "30"}, "SAVS_NO_LIFE_LIMIT (30 s) must be more than three times"),
        (
            {"SAVS_GRACE_TIME": "soon"},
            "SAVS_GRACE_TIME (or grace_time in savs.toml): Input should",
        ),
        (
            {"SAVS_LOG_LEVEL": "loud"},
            "SAVS_LOG_LEVEL (or log_level in savs.toml): Input should",
        ),
    ],
)
def test_settings_that_cannot_be_used_are_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: dict[str, str], sentence: str
) -> None:
    monkeypatch.chdir(tmp_path)
    for name, value in given.items():
        monkeypatch.setenv(name, value)

    code, said = said_by("cpu", "--broker=redis://localhost", f"--workspace={tmp_path}")

    assert code == 2
    assert said.startswith(f"savs-worker: {sentence}") and said.count("\n") == 1


@pytest.mark.parametrize(
    ("command", "missing"),
    [
        ("gpu --model=demo", "pythonjsonlogger"),
        ("gpu --model=demo --gpus=0", "pythonjsonlogger"),
        ("gpu --model=demo", "prometheus_client"),
        ("cpu", "prometheus_client"),
    ],
)
def test_without_the_worker_extra_it_says_what_to_install(tmp_path: Path, command: str, missing: str) -> None:
    program = f"""
import sys
sys.modules[{missing!r}] = None  # as if it were not installed
from workers.cli import main
main({command.split()!r} + ["--broker=redis://localhost:1", "--workspace={tmp_path}"], "savs-worker")
"""
    said = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)

    assert said.returncode == 1
    assert said.stderr.endswith(
        f"savs-worker: a worker needs {missing}; install savs with its models: pip install 'savs[worker]'\n"
    )
    assert "Traceback" not in said.stderr


def test_the_grace_time_and_the_time_limit_may_be_options_and_reach_the_worker_of_every_gpu(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[WorkerSettings] = []
    monkeypatch.setattr("workers.cli.work", lambda settings, load: told.append(settings))
    options = ["--model=demo", "--broker=redis://localhost", f"--workspace={tmp_path}"]

    said_by("gpu", *options, "--grace-time=25", "--shard-time-limit=900")
    assert (told[0].times.grace, told[0].times.shard_limit) == (25.0, 900.0)

    said_by(*command_of(told[0], 0)[4:], "--broker=redis://localhost")
    assert told[1].times == told[0].times


def test_the_folder_of_its_signs_and_when_to_leave_reach_the_worker_of_every_gpu(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[WorkerSettings] = []
    monkeypatch.setattr("workers.cli.work", lambda settings, load: told.append(settings))
    options = ["--model=demo", "--broker=redis://localhost", f"--workspace={tmp_path}"]

    said_by("gpu", *options, "--exit-when-idle=600", f"--runtime-dir={tmp_path}/run")
    monkeypatch.delenv("SAVS_RUNTIME_DIR")
    said_by(*command_of(told[0], 0)[4:], "--broker=redis://localhost")

    assert [(one.exit_when_idle, one.runtime_dir) for one in told] == [(600.0, f"{tmp_path}/run")] * 2


def test_a_worker_told_to_stop_while_it_loads_does_not_wait_for_its_model(pool: Pool) -> None:
    worker = pool.start("gpu", FAKE_LOAD_SECONDS="60")
    wait_until(lambda: "loading tests/fake" in pool.log(0), "it loads")

    began = time.monotonic()
    worker.send_signal(signal.SIGTERM)

    assert worker.wait(timeout=20) == 0
    assert time.monotonic() - began < 10


def test_a_worker_whose_model_can_no_longer_be_loaded_ends(pool: Pool) -> None:
    # given a worker that has loaded its model, as one does whose GPU fails later
    gone = pool.workspace.parent / "gone"
    worker = pool.start("gpu", FAKE_BREAK=str(gone))
    wait_until(lambda: waits(pool), "it waits for a message")
    gone.touch()

    [child] = children(worker)
    os.kill(child, signal.SIGKILL)

    assert worker.wait(timeout=20) == 1
    assert pool.log(0).count("RuntimeError: no such weights") == 1

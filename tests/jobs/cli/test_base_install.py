"""The base install: `savs-submit` in an environment without torch, numpy, Pillow and their like."""

import resource
import statistics
import subprocess
import sys
from pathlib import Path

from jobs.cli import main
from tests.jobs.conftest import Corpus, write_jsonl

BLOCKED = (
    "torch",
    "torchvision",
    "transformers",
    "accelerate",
    "numpy",
    "PIL",
    "decord",
    "safetensors",
    "av",
    "altair",
    "jinja2",
    "vl_convert",
)
HELP_SECONDS = 0.3  # more than starting Python takes

# Runs the command line as if only the base dependencies were installed.
BASE_INSTALL = f"""
import sys
sys.modules |= dict.fromkeys({BLOCKED!r})  # Python's own mark of a module that is not there
from jobs.cli import main
main()
"""


def base_install(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", BASE_INSTALL, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60)


def test_help_and_list_work_in_the_base_install(tmp_path: Path) -> None:
    shown = base_install("--help")
    listed = base_install("list", "--workspace", tmp_path)

    assert shown.returncode == 0
    assert "classify" in shown.stdout
    assert (listed.returncode, listed.stdout.strip()) == (0, "no jobs")


def test_every_command_has_help_with_an_example() -> None:
    for command in main.commands:
        shown = base_install(command, "--help")

        assert shown.returncode == 0
        example = " ".join(shown.stdout.split()).partition("Example: ")[2]
        assert f"savs-submit {command}" in example


def test_a_bad_training_file_is_refused_in_the_base_install(tmp_path: Path, corpus: Corpus) -> None:
    train = write_jsonl(tmp_path / "train.jsonl", [{"image": "a.png", "question": "What?"}])

    said = base_install(
        *("extract", "--train", train, "--model", "demo", "--name", "x", "--workspace", tmp_path / "results")
    )

    assert said.returncode == 2
    assert f"{train}:1: 'label' is missing" in said.stderr


def test_running_a_job_in_the_base_install_says_what_to_install(tmp_path: Path, corpus: Corpus) -> None:
    said = base_install(
        *("extract", "--train", corpus.train, "--model", "demo", "--name", "x"),
        *("--workspace", tmp_path / "results"),
    )

    assert said.returncode == 1
    assert "pip install 'savs[worker]'" in said.stderr
    assert "Traceback" not in said.stderr


def test_help_answers_at_once() -> None:
    def seconds(*command: str) -> float:
        """Of processor time, which a busy machine does not lengthen as it does the clock's."""
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run(command, capture_output=True, check=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime

    submit = str(Path(sys.executable).with_name("savs-submit"))
    extra = [seconds(submit, "--help") - seconds(sys.executable, "-c", "pass") for _ in range(7)]

    assert statistics.median(extra) < HELP_SECONDS

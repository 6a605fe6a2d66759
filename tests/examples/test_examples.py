"""Every script of examples/, and every Python block of docs/python.md, runs as it is printed."""

import os
import re
import runpy
import sys
from pathlib import Path

import pytest

from savs.demo.corpus import write_corpus
from savs.demo.unseen import TASKS
from tests.jobs.conftest import savs_submit

ROOT = Path(__file__).parents[2]
SCRIPTS = sorted(path.name for path in (ROOT / "examples").glob("*.py"))
SHOWN = {  # what a script prints, beside more
    "first_labels.py": r"0000\.png: \w+ \(\d\.\d\d\)\n[^\n]*\n(.*\n)*True",
    "data_frame.py": r"missing_media(.*\n)*.*size +mean",
    "scikit_learn.py": r"savs: 0\.[6-9]\d\npublished vote: 0\.\d\d\nlogistic regression: 0\.\d\d",
    "zero_shot.py": r"zero-shot: 0\.\d\d\n20 examples per class: 0\.\d\d \(0\.\d\d to \d\.\d\d\)",
    "finished_job.py": r"OpenedJob\('strokes-classify-.*' in .* 30 0\.\d+\n",
}


@pytest.fixture(scope="module")
def demo_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `demo-run/`, of fewer items than `savs.demo.corpus` draws, and a finished job."""
    folder = tmp_path_factory.mktemp("notebook")
    [task] = [task for task in TASKS if task.name == "stroke"]
    data = folder / "demo-run" / "stroke"
    write_corpus(data, task, items=30)
    result = savs_submit(
        *("run", "--model", "demo", "--name", "strokes", "--workspace", data.parent / "results"),
        *("--train", data / "train.jsonl", "--data", data / "corpus.jsonl"),
    )
    assert result.exit_code == 0, result.output
    return folder


def test_every_script_has_an_expected_output() -> None:
    assert sorted(SHOWN) == SCRIPTS


@pytest.mark.parametrize("script", SCRIPTS)
def test_an_example_runs_and_prints_what_it_should(
    demo_run: Path, script: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(demo_run)

    runpy.run_path(str(ROOT / "examples" / script))

    assert re.search(SHOWN[script], capsys.readouterr().out)


def test_the_page_about_python_runs_from_top_to_bottom(
    demo_run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(demo_run)
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    page = (ROOT / "docs" / "python.md").read_text()
    names: dict[str, object] = {}

    for block in re.findall(r"```python\n(.*?)```", page, re.S):
        exec(block, names)

    assert len(names["frame"]) == 30  # type: ignore[arg-type]


def test_the_page_about_python_names_every_public_function_and_the_scripts() -> None:
    import savs

    page = (ROOT / "docs" / "python.md").read_text()
    functions = [name for name in [*savs.__all__, "SavsClassifier"] if name[0].islower()]

    assert [name for name in functions if f"`{name}(" not in page and f"`savs.{name}(" not in page] == []
    assert [script for script in SCRIPTS if script not in page] == []

"""The Python example in the package's docstring runs as it is printed."""

import json
import re
import textwrap
from pathlib import Path

import pytest

import savs
from savs.demo.corpus import write_corpus
from savs.demo.unseen import TASKS

[STROKE] = [task for task in TASKS if task.name == "stroke"]


@pytest.fixture(params=["with questions", "without questions"])
def stroke(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder that `make demo` writes, with a small corpus, below the working directory."""
    folder = tmp_path / "demo-run" / "stroke"
    write_corpus(folder, STROKE, items=6)
    if request.param == "without questions":
        manifest = folder / "corpus.jsonl"
        rows = [json.loads(line) for line in manifest.read_text().splitlines()]
        manifest.write_text("".join(json.dumps({**row, "question": None}) + "\n" for row in rows))
    monkeypatch.chdir(tmp_path)
    return folder


def test_the_example_in_the_docstring_labels_the_corpus(
    stroke: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(stroke)
    [example] = re.findall(r"(?:^    .*\n)+", str(savs.__doc__), re.M)
    names: dict[str, object] = {"savs": savs}

    exec(textwrap.dedent(example), names)

    assert isinstance(names["answers"], list) and len(names["answers"]) == 6

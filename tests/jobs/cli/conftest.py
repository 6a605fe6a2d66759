"""What tests of corrections share: a labelled corpus with kept vectors and some wrong examples."""

from pathlib import Path

import pytest

from savs.demo.corpus import write_corpus
from savs.demo.unseen import TASKS
from tests.jobs.conftest import read_jsonl, savs_submit, write_jsonl

ITEMS = 120
SPOILT = 4  # examples with a wrong label: the first ones of twelve


@pytest.fixture(scope="session")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A task that the demo model was never taught, with few examples, some of them with a wrong label; and
    its corpus, labelled with its vectors kept. To be read only, but for `artifacts`."""
    folder = tmp_path_factory.mktemp("relabel")
    write_corpus(folder, next(task for task in TASKS if task.name == "stroke"), ITEMS)
    rows = read_jsonl(folder / "train.jsonl")[:12]
    for number in range(SPOILT):
        rows[number]["label"] = rows[number + 1]["label"]
    write_jsonl(folder / "few.jsonl", rows)
    result = savs_submit(
        *("run", "--train", folder / "few.jsonl", "--data", folder / "corpus.jsonl", "--name", "strokes"),
        *(
            "--model",
            "demo",
            "--workspace",
            folder / "results",
            "--readout",
            "ridge",
            "--keep-vectors",
            "all",
        ),
    )
    assert result.exit_code == 0, result.output
    return folder

"""Examples whose media are the same bytes under other names are found once they are read."""

import json
import shutil
from pathlib import Path

from tests.jobs.conftest import Corpus, read_jsonl, savs_submit, write_jsonl


def test_copies_of_examples_are_told_and_those_with_another_label_too(
    own_corpus: Corpus, qwen2_vl: Path, workspace: Path
) -> None:
    rows = read_jsonl(own_corpus.train)
    picture = own_corpus.train.parent / rows[0]["image"]
    for name in ("copy", "other"):
        shutil.copy(picture, picture.with_name(f"{name}.png"))
    place = Path(rows[0]["image"]).parent
    another = next(row["label"] for row in rows if row["label"] != rows[0]["label"])
    more = [
        rows[0] | {"id": "copy", "question_id": "copy", "image": str(place / "copy.png")},
        rows[0]
        | {"id": "other", "question_id": "other", "image": str(place / "other.png"), "label": another},
    ]
    train = write_jsonl(own_corpus.folder / "more.jsonl", [*rows, *more])

    said = savs_submit(
        *("extract", "--train", train, "--name", "copies", "--model", qwen2_vl),
        *("--workspace", workspace, "--json"),
    )

    assert said.exit_code == 0, said.output
    [summary] = json.loads(said.stdout)
    conflict, copy = summary["warnings"]
    assert "with another label: 1, for example 'other'" in conflict
    assert copy == "examples that are copies of another one, and count twice: 1, for example 'copy' of '0'"

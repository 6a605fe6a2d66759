"""`savs-submit relabel`: corrections become examples, and the corpus is labelled again without a model."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from jobs.refit.correction_files import read_corrections
from tests.jobs.cli.conftest import ITEMS
from tests.jobs.conftest import read_jsonl, savs_submit, write_jsonl

FIXED = 45  # rows that are corrected


def relabelled(folder: Path, corrections: object, *more: object, code: int = 0) -> Any:
    result = savs_submit(
        "relabel", "strokes", corrections, "--workspace", folder / "results", "--json", *more
    )
    assert result.exit_code == code, result.output
    assert "loading" not in result.output
    return json.loads(result.stdout)


def labels(folder: Path) -> list[str]:
    return [row["label"] for row in read_jsonl(folder / "corpus.jsonl")]


def old_rows(folder: Path) -> list[dict[str, Any]]:
    said = savs_submit("results", "strokes", "--workspace", folder / "results")
    return [json.loads(line) for line in said.stdout.splitlines()]


def corrections_of(folder: Path, path: Path) -> Path:
    known = labels(folder)
    return write_jsonl(path, [{"index": n, "label": known[n]} for n in range(FIXED)])


def test_corrections_raise_the_accuracy_of_the_rows_that_were_not_corrected(
    drawn: Path, tmp_path: Path
) -> None:
    said = relabelled(drawn, corrections_of(drawn, tmp_path / "c.jsonl"), "--out", tmp_path / "new.jsonl")

    before, after = said["right"]
    assert (said["added"], said["rows"], said["without"], said["known"]) == (FIXED, ITEMS, 0, ITEMS - FIXED)
    assert after - before > 0.1 * said["known"]
    # and the new rows are those of the old ones with other labels, in their order
    old, new = old_rows(drawn), read_jsonl(tmp_path / "new.jsonl")
    assert [row["id"] for row in new] == [row["id"] for row in old]
    right = sum(row["prediction"] == row["label"] for row in new[FIXED:])
    assert right == after
    flips = sum(one["prediction"] != other["prediction"] for one, other in zip(old, new, strict=True))
    assert sum(count for _, _, count in said["flips"]) == flips > 0
    assert {row["artifact"] for row in new} != {row["artifact"] for row in old}


def test_a_newer_version_whose_corrections_are_not_used_is_told(drawn: Path, tmp_path: Path) -> None:
    path = corrections_of(drawn, tmp_path / "c.jsonl")
    first = relabelled(drawn, path)

    said = savs_submit("relabel", "strokes", path, "--workspace", drawn / "results")

    assert f"{first['url']} is newer than the artifact that labelled strokes" in said.stderr
    assert f"label with it first: savs-submit classify --data {drawn / 'corpus.jsonl'}" in said.stderr


def test_the_new_artifact_labels_the_corpus_as_relabel_did(drawn: Path, tmp_path: Path) -> None:
    said = relabelled(drawn, corrections_of(drawn, tmp_path / "c.jsonl"), "--out", tmp_path / "new.jsonl")

    result = savs_submit(
        *("classify", "--data", drawn / "corpus.jsonl", "--artifact", said["url"], "--name", "again"),
        *("--workspace", tmp_path / "other"),
    )

    assert result.exit_code == 0, result.output
    again = savs_submit("results", "again", "--workspace", tmp_path / "other").stdout.splitlines()
    new = read_jsonl(tmp_path / "new.jsonl")
    differing = [
        one
        for one, line in zip(new, again, strict=True)
        if one["prediction"] != json.loads(line)["prediction"]
    ]
    assert len(differing) <= 1  # vectors are kept as float16
    assert json.loads(again[0])["artifact"] == new[0]["artifact"]
    # and it knows the corrected rows as examples
    assert f"rows of the training set: {FIXED} " in result.stdout


def test_the_same_corrections_make_the_same_version(drawn: Path, tmp_path: Path) -> None:
    corrections = corrections_of(drawn, tmp_path / "c.jsonl")

    assert relabelled(drawn, corrections) == relabelled(drawn, corrections)


def test_csv_and_label_studio_say_the_same_as_jsonl(drawn: Path, tmp_path: Path) -> None:
    known, rows = labels(drawn), old_rows(drawn)
    ids = "".join(f"{rows[n]['id']},{known[n]}\n" for n in range(FIXED))
    (tmp_path / "c.csv").write_text(f"id,label\n{ids}")
    exported = savs_submit(
        *(
            "results",
            "strokes",
            "--workspace",
            drawn / "results",
            "--to",
            f"label-studio:{tmp_path / 'tasks.json'}",
        )
    )
    assert exported.exit_code == 0, exported.output
    tasks = json.loads((tmp_path / "tasks.json").read_text())[:FIXED]
    (tmp_path / "tasks.json").write_text(json.dumps(tasks))  # their annotations are the known labels

    said = [
        relabelled(drawn, path)
        for path in (corrections_of(drawn, tmp_path / "c.jsonl"), tmp_path / "c.csv", tmp_path / "tasks.json")
    ]

    assert said[0] == said[1] == said[2]


def test_what_is_printed_says_what_has_changed(drawn: Path, tmp_path: Path) -> None:
    result = savs_submit(
        *("relabel", "strokes", corrections_of(drawn, tmp_path / "c.jsonl"), "--workspace", drawn / "results")
    )

    assert result.exit_code == 0, result.output
    assert f"{FIXED} corrected rows are examples now" in result.stdout
    assert f"of {ITEMS} rows have another label" in result.stdout and " → " in result.stdout
    assert f"on {ITEMS - FIXED} labelled rows that were not corrected" in result.stdout


def test_no_model_is_loaded(drawn: Path, tmp_path: Path) -> None:
    corrections = corrections_of(drawn, tmp_path / "c.jsonl")
    code = (
        "import sys; from jobs.cli import main\n"
        "try: main(sys.argv[1:])\n"
        "except SystemExit: pass\n"
        "print('transformers' in sys.modules)"
    )

    said = subprocess.run(
        [sys.executable, "-c", code, "relabel", "strokes", corrections, "--workspace", drawn / "results"],
        capture_output=True,
        text=True,
        check=True,
    )

    assert said.stdout.splitlines()[-1] == "False"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ('{"label": "curls"}\n', "c:1: neither 'index' nor 'id' says which row it is"),
        ('{"index": -1, "label": "curls"}\n', "c:1: 'index' is -1"),
        ('{"index": 1}\n', "c:1: 'label' must be text"),
        (
            '{"index": 100000, "label": "curls"}\n',
            "1 corrections are of no row with kept vectors, for example '100000'",
        ),
        ('{"index": 1, "label": ["a", "b"]}\n', "the correction of row 1 is a list of labels"),
        ("{not json\n", "c:1: not JSON"),
        ("", "needs columns 'label', and 'index' or 'id'"),
        ("a,b\n1,2\n", "needs columns 'label', and 'index' or 'id'; it has a, b"),
        ("[1]", "task 0: not a task of Label Studio"),
        ("[]", "has no corrections"),
    ],
)
def test_corrections_that_cannot_be_used_are_refused(
    drawn: Path, tmp_path: Path, text: str, reason: str
) -> None:
    (tmp_path / "c").write_text(text)

    result = savs_submit("relabel", "strokes", tmp_path / "c", "--workspace", drawn / "results")

    assert result.exit_code == 2 and reason in result.stderr


def test_labels_without_vectors_say_how_to_keep_them(drawn: Path, tmp_path: Path) -> None:
    [artifact] = [
        one for one in (drawn / "results" / "artifacts" / "strokes").iterdir() if "refit" not in one.name
    ]
    for name, keep in (("none", ()), ("some", ("--keep-vectors", "heads"))):
        fitted = savs_submit("refit", artifact, "--heads", 5, "--workspace", drawn / "results", "--json")
        made = json.loads(fitted.stdout)["artifact"]
        result = savs_submit(
            *("classify", "--data", drawn / "corpus.jsonl", "--artifact", made, "--name", name),
            *("--workspace", tmp_path / "other", *keep),
        )
        assert result.exit_code == 0, result.output

    corrections = corrections_of(drawn, tmp_path / "c.jsonl")
    none = savs_submit("relabel", "none", corrections, "--workspace", tmp_path / "other")
    some = savs_submit("relabel", "some", corrections, "--workspace", tmp_path / "other")

    assert none.exit_code == 1 and "--keep-vectors all" in none.stderr
    assert some.exit_code == 2 and "kept only the heads of its readout" in some.stderr


def test_of_several_annotations_the_last_counts_but_not_one_that_was_cancelled(tmp_path: Path) -> None:
    def annotation(name: str, **more: bool) -> dict[str, Any]:
        return {"result": [{"value": {"choices": [name]}}], **more}

    made = [annotation("zigzag"), annotation("curls"), annotation("spiral", was_cancelled=True)]
    tasks = [{"data": {"index": 3}, "annotations": made}, {"data": {"index": 4}, "annotations": []}]
    (tmp_path / "tasks.json").write_text(json.dumps(tasks))

    found = read_corrections(str(tmp_path / "tasks.json"))

    assert [(one.index, one.label) for one in found] == [(3, "curls")]

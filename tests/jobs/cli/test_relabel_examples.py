"""`savs-submit relabel`: wrong examples are found and corrected, unusable items are left out, and the rows of
other tasks are told apart."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from jobs.refit.correction_files import read_corrections
from savs.artifact.artifact import load_examples
from savs.storage import s3_client
from tests.jobs.cli.conftest import ITEMS, SPOILT
from tests.jobs.conftest import read_jsonl, savs_submit, write_jsonl

Lines = list[dict[str, Any]]


def relabelled(folder: Path, path: Path, lines: Lines, *more: object) -> Any:
    command = ("relabel", "strokes", write_jsonl(path, lines), "--workspace", folder / "results", "--json")
    result = savs_submit(*command, *more)
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def refused(folder: Path, path: Path, lines: Lines) -> str:
    result = savs_submit("relabel", "strokes", write_jsonl(path, lines), "--workspace", folder / "results")
    assert result.exit_code != 0, result.output
    return result.stderr


def right_labels(folder: Path, corpus: bool = False) -> list[str]:
    return [row["label"] for row in read_jsonl(folder / ("corpus.jsonl" if corpus else "train.jsonl"))]


def corrected(folder: Path) -> Lines:
    """The spoilt examples with their right labels, as the report writes them."""
    known = right_labels(folder)
    return [{"training": n, "id": str(n), "label": known[n]} for n in range(SPOILT)]


def test_wrong_examples_are_found_corrected_and_fitted_again_and_raise_the_accuracy(
    drawn: Path, tmp_path: Path
) -> None:
    [first] = [one for one in (drawn / "results/artifacts/strokes").iterdir() if "refit" not in one.name]
    shown = json.loads(savs_submit("show", first, "--workspace", drawn / "results", "--json").stdout)
    suspects = {one["row"] for one in shown["suspects"]}
    wrong = suspects & set(range(SPOILT))
    assert len(wrong) >= SPOILT / 2

    # Somebody looks at the suspects only.
    known = right_labels(drawn)
    lines = [{"training": n, "id": str(n), "label": known[n]} for n in suspects]
    said = relabelled(drawn, tmp_path / "c.jsonl", lines)

    before, after = said["right"]
    assert (said["added"], said["corrected"], said["dropped"], said["again"]) == (0, len(wrong), 0, True)
    assert (said["rows"], said["known"]) == (ITEMS, ITEMS)
    assert after - before > 0.1 * ITEMS, (before, after)
    # and a fit on these labels by `refit` is the same
    few = read_jsonl(drawn / "few.jsonl")
    mended = [row | ({"label": known[n]} if n in suspects else {}) for n, row in enumerate(few)]
    train = write_jsonl(drawn / "mended.jsonl", mended)
    made = savs_submit("refit", first, "--train", train, "--workspace", drawn / "results", "--json")
    one, other = (load_examples(url) for url in (said["url"], json.loads(made.stdout)["artifact"]))
    assert [row.label for row in one.manifest.training] == [row["label"] for row in mended]
    assert np.allclose(one.readout.weights, other.readout.weights)  # type: ignore[union-attr]


def test_examples_and_rows_are_corrected_at_once(drawn: Path, tmp_path: Path) -> None:
    known = right_labels(drawn, corpus=True)
    rows = [{"index": n, "id": str(n), "label": known[n]} for n in range(20)]

    said = relabelled(drawn, tmp_path / "c.jsonl", [*corrected(drawn), *rows])

    assert (said["added"], said["corrected"], said["known"]) == (20, SPOILT, ITEMS - 20)
    assert len(load_examples(said["url"]).manifest.training) == 12 + 20
    assert said["right"][1] > said["right"][0]


def test_an_unusable_row_keeps_its_label_and_counts_for_nothing(drawn: Path, tmp_path: Path) -> None:
    rows = [{"index": n, "unusable": True} for n in range(30)]

    said = relabelled(drawn, tmp_path / "c.jsonl", [*corrected(drawn), *rows], "--out", tmp_path / "new")

    assert (said["unusable"], said["rows"], said["known"], said["added"]) == (30, ITEMS - 30, ITEMS - 30, 0)
    old = savs_submit("results", "strokes", "--workspace", drawn / "results").stdout.splitlines()
    new = (tmp_path / "new").read_text().splitlines()
    assert [json.loads(line) for line in new[:30]] == [json.loads(line) for line in old[:30]]
    assert len(new) == ITEMS and new[30:] != old[30:]
    assert len(load_examples(said["url"]).manifest.training) == 12


def test_an_unusable_example_is_left_out(drawn: Path, tmp_path: Path) -> None:
    said = relabelled(drawn, tmp_path / "c.jsonl", [{"training": n, "unusable": True} for n in range(SPOILT)])

    left = load_examples(said["url"])
    assert (said["dropped"], said["corrected"]) == (SPOILT, 0)
    assert [row.id for row in left.manifest.training] == [str(n) for n in range(SPOILT, 12)]
    assert left.examples is not None and len(left.examples.vectors) == len(left.examples.shown) == 12 - SPOILT
    assert said["right"][1] > said["right"][0]


def test_corrections_of_other_tasks_are_left_alone(drawn: Path, tmp_path: Path) -> None:
    known = right_labels(drawn, corpus=True)
    own = [{"index": n, "label": known[n], "task": "strokes"} for n in range(9)]
    others = [{"index": n, "label": "cat", "task": "pets"} for n in range(5)]
    others += [{"training": 0, "label": "cat", "task": "pets"}]

    said = relabelled(drawn, tmp_path / "c.jsonl", [*own, *others])

    assert (said["added"], said["elsewhere"], said["corrected"]) == (9, 6, 0)
    assert "all 6 corrections are of other tasks: 'pets'" in refused(drawn, tmp_path / "c.jsonl", others)


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ({"training": 12, "label": "curls"}, "there is no example 12; 'strokes' has 12"),
        ({"training": -1, "label": "curls"}, "'training' is -1"),
        ({"training": 0, "label": ["curls"]}, "the label is a list, and 'strokes' gives each item one"),
        ({"training": 0, "id": "no", "label": "curls"}, "example 0 has the id '0', not 'no'"),
        ({"training": 0, "index": 0, "label": "curls"}, "give one"),
        (
            {"index": 3, "id": "no", "label": "curls"},
            "row 3 has the id '3', not 'no'; is this file of another",
        ),
        ({"index": 3, "unusable": "yes"}, "'unusable' is 'yes'; use true"),
        ({"index": 3, "unusable": False}, "'label' must be text"),
        ({"index": 3, "label": "\ud800"}, "lone surrogate"),
        ({"index": 3, "label": ["a", "a"]}, "has 'a' twice"),
        ({"index": 10**30, "label": "a"}, "1 corrections are of no row with kept vectors"),
    ],
)
def test_a_correction_that_cannot_be_is_refused(
    drawn: Path, tmp_path: Path, line: dict[str, Any], reason: str
) -> None:
    assert reason in refused(drawn, tmp_path / "c.jsonl", [line])


def test_an_example_is_found_by_its_id_if_its_number_is_that_of_the_training_file(
    drawn: Path, tmp_path: Path
) -> None:
    # Example 0 could not be read, so that number 3 of the file is the third that is stored.
    said = relabelled(drawn, tmp_path / "c.jsonl", [{"training": 5, "id": "2", "label": "wave"}])

    rows = {row.id: row.label for row in load_examples(said["url"]).manifest.training}
    assert rows["2"] == "wave" and rows["5"] == right_labels(drawn)[5]


def test_examples_can_be_corrected_without_kept_vectors_and_the_next_step_is_told(
    drawn: Path, tmp_path: Path
) -> None:
    [artifact] = [one for one in (drawn / "results/artifacts/strokes").iterdir() if "refit" not in one.name]
    folder = tmp_path / "other"
    few = write_jsonl(drawn / "three.jsonl", read_jsonl(drawn / "corpus.jsonl")[:3])
    made = savs_submit(
        *("classify", "--data", few, "--artifact", artifact, "--name", "strokes"),
        *("--workspace", folder / "results"),
    )
    assert made.exit_code == 0, made.output
    corrections = write_jsonl(tmp_path / "c.jsonl", corrected(drawn))
    command = ("relabel", "strokes", corrections, "--workspace", folder / "results")

    said, to_file = savs_submit(*command), savs_submit(*command, "--out", tmp_path / "new.jsonl")

    assert said.exit_code == 0 and f"{SPOILT} examples have another label, 0 are left out" in said.stdout
    [told] = [line for line in said.stdout.splitlines() if "was not labelled again" in line]
    assert to_file.exit_code == 1 and "was not written" in to_file.stderr
    assert not (tmp_path / "new.jsonl").exists()
    # while corrected rows need their vectors
    reason = refused(folder, tmp_path / "r.jsonl", [{"index": 0, "label": "curls"}])
    assert "--keep-vectors all" in reason
    # and what it tells can be typed
    done = savs_submit(*told.partition("savs-submit ")[2].split(), "--workspace", folder / "results")
    assert done.exit_code == 0, done.output


@pytest.mark.parametrize("decision", [("--target-precision", 0.9), ("--prior", "uniform")])
def test_the_decision_about_a_corpus_is_made_again(
    drawn: Path, tmp_path: Path, decision: tuple[object, ...]
) -> None:
    [artifact] = [one for one in (drawn / "results/artifacts/strokes").iterdir() if "refit" not in one.name]
    adapt = ("--adapt",) if decision[0] == "--target-precision" else ()
    common = ("--data", drawn / "corpus.jsonl", "--workspace", tmp_path / "results", *decision, *adapt)
    made = savs_submit(
        "classify", *common, "--artifact", artifact, "--name", "strokes", "--keep-vectors", "all"
    )
    assert made.exit_code == 0, made.output
    known = right_labels(drawn, corpus=True)
    rows = [{"index": n, "label": known[n]} for n in range(15)]

    said = relabelled(tmp_path, tmp_path / "c.jsonl", [*corrected(drawn), *rows], "--out", tmp_path / "new")

    # as if the corpus was labelled with that artifact and the same decision
    again = savs_submit("classify", *common, "--artifact", said["url"], "--name", "again")
    assert again.exit_code == 0, again.output
    texts = savs_submit("results", "again", "--workspace", tmp_path / "results").stdout.splitlines()
    predictions = [
        [json.loads(line)["prediction"] for line in lines] for lines in (texts, (tmp_path / "new").open())
    ]
    differing = sum(one != other for one, other in zip(*predictions, strict=True))
    assert differing <= 2  # vectors are kept as float16
    assert said["right"][1] > said["right"][0]


def test_a_csv_says_what_jsonl_says(tmp_path: Path) -> None:
    (tmp_path / "c.csv").write_text(
        "index,training,id,label,unusable,task\n17,,17,Birman,,\n18,,18,,true,\n,3,3,Birman,,pets\n,4,4,,TRUE,\n"
    )
    lines: Lines = [{"index": 17, "id": "17", "label": "Birman"}, {"index": 18, "id": "18", "unusable": True}]
    lines += [
        {"training": 3, "id": "3", "label": "Birman", "task": "pets"},
        {"training": 4, "unusable": True},
    ]
    lines[-1]["id"] = "4"

    found = [read_corrections(str(p)) for p in (tmp_path / "c.csv", write_jsonl(tmp_path / "c.jsonl", lines))]

    said = [[(one.index, one.training, one.id, one.label, one.task) for one in each] for each in found]
    assert said[0] == said[1] and len(said[0]) == 4


def test_corrections_are_read_from_a_bucket_and_rows_that_are_not_filled_in_are_skipped(
    bucket: str, s3_server: str
) -> None:
    data = b'{"index": 4, "label": null}\n{"index": 5, "label": ""}\n{"index": 6, "label": "cat"}\n'
    s3_client(s3_server).put_object(Bucket=bucket, Key="c.jsonl", Body=data)

    assert [one.index for one in read_corrections(f"s3://{bucket}/c.jsonl")] == [6]


def test_the_id_in_a_csv_of_label_studio_is_its_own(tmp_path: Path) -> None:
    (tmp_path / "c.csv").write_text("annotation_id,id,index,label\n5,901,17,Birman\n")

    [found] = read_corrections(str(tmp_path / "c.csv"))

    assert (found.index, found.id, found.label) == (17, None, "Birman")

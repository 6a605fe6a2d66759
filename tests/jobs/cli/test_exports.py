"""`results --to`: rows in the forms of other tools, read back by these tools where they can be installed."""

import csv
import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cleanlab.filter import find_label_issues
from pyarrow import parquet
from pycocotools.coco import COCO
from torchvision.datasets import ImageFolder

from jobs.exports.coco import coco_lines
from jobs.exports.image_folder import safe_name
from jobs.exports.label_studio import task_lines
from jobs.exports.table import COLUMNS, csv_lines, write_parquet
from savs.storage import s3_client
from tests.jobs.conftest import CLASSES, ROWS, Corpus, savs_submit

Rows = list[dict[str, Any]]
HOSTILE = "=cmd|' /C calc'!A0 <script>\"\x1b[31m\u202e"
ROW = {"index": 3, "id": "+1", "task": "t", "media": ["a.png"], "prediction": HOSTILE, "votes": {HOSTILE: 2}}


@pytest.fixture(scope="module")
def labelled(corpus: Corpus, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace with a labelled corpus. To be read only."""
    workspace = tmp_path_factory.mktemp("exports") / "results"
    result = savs_submit(
        *("run", "--train", corpus.train, "--data", corpus.data, "--name", "shapes", "--model", "demo"),
        *("--workspace", workspace, "--readout", "ridge"),
    )
    assert result.exit_code == 0, result.output
    return workspace


def rows_of(workspace: Path) -> Rows:
    said = savs_submit("results", "shapes", "--workspace", workspace)
    return [json.loads(line) for line in said.stdout.splitlines()]


def exported(workspace: Path, target: object, *more: object) -> str:
    said = savs_submit("results", "shapes", "--workspace", workspace, "--to", target, *more)
    assert said.exit_code == 0, said.output
    return said.stdout


def test_parquet_has_every_row_and_every_field(labelled: Path, tmp_path: Path) -> None:
    said = exported(labelled, tmp_path / "labels.parquet")

    table = parquet.read_table(tmp_path / "labels.parquet").to_pylist()
    assert said.strip() == f"{tmp_path / 'labels.parquet'}: {ROWS} rows"
    for cells, row in zip(table, rows_of(labelled), strict=True):
        assert dict(cells["scores"]) == row["scores"] and dict(cells["votes"]) == row["votes"]
        same = ("index", "id", "task", "media", "prediction", "confidence", "margin", "entropy", "artifact")
        assert {name: cells[name] for name in same} == {name: row.get(name) for name in same}
        assert cells["label"] == row.get("label") and cells["labels"] is None and cells["error"] is None


def test_a_csv_file_is_read_back_with_the_same_labels(labelled: Path, tmp_path: Path) -> None:
    exported(labelled, tmp_path / "labels.csv")

    with (tmp_path / "labels.csv").open(newline="") as file:
        found = list(csv.DictReader(file))
    rows = rows_of(labelled)
    assert [one["prediction"] for one in found] == [row["prediction"] for row in rows]
    assert [json.loads(one["scores"]) for one in found] == [row["scores"] for row in rows]
    assert [one["media"] for one in found] == [row["media"][0] for row in rows]


def test_cells_that_a_spreadsheet_would_calculate_are_text() -> None:
    failed = {"index": 4, "id": "@x", "task": "t", "error": {"kind": "bad_row", "message": "-1\n=2"}}

    text = b"".join(csv_lines([ROW, failed])).decode()

    first, second = csv.DictReader(text.splitlines(keepends=True))
    assert first["prediction"] == f"'{HOSTILE}" and first["id"] == "'+1"
    assert second["message"] == "'-1\n=2" and second["id"] == "'@x" and second["error"] == "bad_row"
    assert list(first) == list(COLUMNS)


def test_half_of_a_character_can_be_written(tmp_path: Path) -> None:
    row = ROW | {"extra": {"\ud800": ["\udfff"]}}

    [found] = csv.DictReader(b"".join(csv_lines([row])).decode().splitlines(keepends=True))
    write_parquet([row], tmp_path / "rows.parquet")

    [cells] = parquet.read_table(tmp_path / "rows.parquet").to_pylist()
    assert json.loads(found["extra"]) == json.loads(cells["extra"]) == row["extra"]


def test_coco_is_read_by_its_own_tool(labelled: Path, tmp_path: Path) -> None:
    exported(labelled, f"coco:{tmp_path / 'coco.json'}")

    coco = COCO(str(tmp_path / "coco.json"))
    rows = rows_of(labelled)
    names = {one["id"]: one["name"] for one in coco.loadCats(coco.getCatIds())}
    assert sorted(coco.getImgIds()) == [row["index"] for row in rows]
    for row in rows:
        [found] = coco.loadAnns(coco.getAnnIds(imgIds=[row["index"]]))
        assert names[found["category_id"]] == row["prediction"] and found["score"] == row["confidence"]


def test_coco_of_several_labels_has_an_annotation_for_each() -> None:
    several = {
        "index": 0,
        "id": "0",
        "task": "t",
        "media": [],
        "predictions": ["a", HOSTILE],
        "scores": {"a": 0.9},
    }
    failed = {"index": 1, "id": "1", "task": "t", "error": {"kind": "bad_row", "message": "x"}}

    found = json.loads(b"".join(coco_lines([several, failed])))

    assert [one["image_id"] for one in found["annotations"]] == [0, 0]
    assert [one["name"] for one in found["categories"]] == ["a", HOSTILE] and len(found["images"]) == 2


def test_label_studio_gets_a_task_per_row_with_prediction_and_label(labelled: Path, tmp_path: Path) -> None:
    exported(labelled, f"label-studio:{tmp_path / 'tasks.json'}")

    tasks, rows = json.loads((tmp_path / "tasks.json").read_text()), rows_of(labelled)
    for task, row in zip(tasks, rows, strict=True):
        [prediction] = task["predictions"]
        assert prediction["score"] == row["confidence"] and prediction["model_version"] == row["artifact"]
        [choice] = prediction["result"]
        assert (
            choice["id"] == f"shapes-{row['index']}"
            and choice["type"] == "choices"
            and choice["value"] == {"choices": [row["prediction"]]}
        )
        assert (task["data"]["id"], task["data"]["index"]) == (row["id"], row["index"])
        assert ("annotations" in task) == ("label" in row)


def test_an_empty_list_of_tasks_is_json() -> None:
    assert json.loads(b"".join(task_lines([]))) == []


def test_cleanlab_finds_label_issues_in_what_it_is_given(labelled: Path, tmp_path: Path) -> None:
    said = exported(labelled, f"cleanlab:{tmp_path / 'arrays'}")

    labels = np.load(tmp_path / "arrays" / "labels.npy")
    probabilities = np.load(tmp_path / "arrays" / "pred_probs.npy")
    names = json.loads((tmp_path / "arrays" / "rows.json").read_text())
    rows = [row for row in rows_of(labelled) if "label" in row]
    assert [names["classes"][label] for label in labels] == [row["label"] for row in rows]
    assert [one["index"] for one in names["rows"]] == [row["index"] for row in rows]
    assert np.allclose(probabilities.sum(1), 1, atol=1e-5)
    likeliest = [names["classes"][place] for place in probabilities.argmax(1)]
    assert likeliest == [row["prediction"] for row in rows]
    assert find_label_issues(labels, probabilities).shape == labels.shape
    assert f"{ROWS - len(rows)} without label or probabilities left out" in said


def test_an_image_folder_is_read_by_torchvision(labelled: Path, tmp_path: Path) -> None:
    least = sorted(row["confidence"] for row in rows_of(labelled))[ROWS // 2]

    said = exported(labelled, f"imagefolder:{tmp_path / 'photos'}", "--min-confidence", least)

    found = ImageFolder(str(tmp_path / "photos"))
    kept = [row for row in rows_of(labelled) if row["confidence"] >= least]
    assert Counter(found.classes[place] for place in found.targets) == Counter(
        row["prediction"] for row in kept
    )
    assert f"{len(kept)} items; left out: {ROWS - len(kept)} of less confidence" in said
    assert set(found.classes) <= set(CLASSES)
    # and it can be given as examples of the next run
    planned = savs_submit("plan", "--train", tmp_path / "photos", "--question", "Which shape is it?")
    assert planned.exit_code == 0, planned.output


@pytest.mark.parametrize("name", ["../../etc", "a/b", "", ".", "..", "CON:", "x" * 300, HOSTILE, "a\0b"])
def test_a_label_is_never_a_path(name: str) -> None:
    found = safe_name(name)

    assert found not in ("", ".", "..") and "/" not in found and "\0" not in found and len(found) < 100
    assert safe_name(found) == found or name != found


def test_two_labels_have_two_folders() -> None:
    assert safe_name("a/b") != safe_name("a_b") and safe_name("a b") == "a b"


def test_a_bucket_is_a_target(labelled: Path, bucket: str, s3_server: str, tmp_path: Path) -> None:
    exported(labelled, f"s3://{bucket}/out/labels.parquet")

    data = s3_client(s3_server).get_object(Bucket=bucket, Key="out/labels.parquet")["Body"].read()
    (tmp_path / "labels.parquet").write_bytes(data)
    assert parquet.read_table(tmp_path / "labels.parquet").num_rows == ROWS


@pytest.mark.parametrize(
    ("target", "reason"),
    [
        ("labels.xlsx", "use a file that ends in .parquet, .csv or .jsonl, or one of parquet:PLACE"),
        ("coco:", "use a file that ends in"),
        ("/nowhere/labels.csv", "there is no folder /nowhere"),
        (f"parquet:{'x' * 300}/", "File name too long"),
        ("fiftyone:s3://b/x", "is written into a local folder"),
        ("imagefolder:s3://b/x", "is written into a local folder"),
    ],
)
def test_a_target_that_cannot_be_is_refused(labelled: Path, target: str, reason: str) -> None:
    said = savs_submit("results", "shapes", "--workspace", labelled, "--to", target)

    assert said.exit_code == 2 and reason in said.stderr


def test_json_lines_are_those_that_results_prints(labelled: Path, tmp_path: Path) -> None:
    exported(labelled, tmp_path / "labels.jsonl")

    printed = savs_submit("results", "shapes", "--workspace", labelled).stdout
    assert (tmp_path / "labels.jsonl").read_text() == printed


def test_a_folder_that_holds_something_is_left_alone(labelled: Path, tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("x")

    said = savs_submit("results", "shapes", "--workspace", labelled, "--to", f"imagefolder:{tmp_path}")

    assert said.exit_code == 2 and "is not empty" in said.stderr
    assert [one.name for one in tmp_path.iterdir()] == ["mine.txt"]

"""`results --to fiftyone:DIR`: a dataset in the form that FiftyOne reads. `python -m tests.fiftyone` loads it
with FiftyOne itself."""

import json
from pathlib import Path
from typing import Any

import pytest

from jobs.exports.fiftyone import sample_of, write_dataset
from savs.errors import SettingsError
from savs.storage import s3_client

Rows = list[dict[str, Any]]
SCORES = {"cat": 0.4, "dog": 0.35, "cow": 0.25}
SURE = {"index": 0, "id": "a", "task": "t", "media": ["a.png"], "prediction": "cat", "confidence": 0.9}


def row(index: int, media: list[str], **more: Any) -> dict[str, Any]:
    return {"index": index, "id": f"id-{index}", "task": "t", "media": media, "prediction": "cat"} | more


def samples_in(folder: Path) -> Rows:
    found: Rows = json.loads((folder / "samples.json").read_text())["samples"]
    return found


def picture(folder: Path, name: str = "a.png") -> str:
    (folder / name).write_bytes(b"bytes")
    return str(folder / name)


def test_a_sample_has_path_labels_evaluation_and_which_row_it_is() -> None:
    given = row(7, ["a.png"], confidence=0.4, margin=0.05, scores=SCORES, label="dog")

    assert sample_of(given, "/media/a.png") == {
        "filepath": "/media/a.png",
        "tags": ["doubtful"],
        "savs_id": "id-7",
        "savs_index": 7,
        "savs_task": "t",
        "predictions": {"_cls": "Classification", "label": "cat", "confidence": 0.4},
        "ground_truth": {"_cls": "Classification", "label": "dog"},
        "eval": False,
        "likeliest": {
            "_cls": "Classifications",
            "classifications": [
                {"_cls": "Classification", "label": name, "confidence": share}
                for name, share in SCORES.items()
            ],
        },
        "margin": 0.05,
    }


def test_tags_say_which_rows_failed_and_which_have_no_prediction() -> None:
    failed = {
        "index": 0,
        "id": "a",
        "task": "t",
        "media": ["a"],
        "error": {"kind": "bad_row", "message": "x"},
    }

    assert sample_of(failed, "a")["tags"] == ["error"] and sample_of(failed, "a")["error"] == "bad_row"
    assert sample_of(SURE, "a")["tags"] == []
    assert sample_of(SURE | {"prediction": None, "confidence": 0.3}, "a")["tags"] == [
        "doubtful",
        "no prediction",
    ]
    assert "eval" not in sample_of(SURE, "a") and "eval" not in sample_of(failed | {"label": "cat"}, "a")


def test_lists_of_labels_are_classifications_and_their_order_does_not_matter() -> None:
    several = {
        "index": 0,
        "id": "a",
        "task": "t",
        "media": ["a"],
        "predictions": ["cat", "dog"],
        "scores": SCORES,
    }

    found = sample_of(several | {"label": ["dog", "cat"]}, "a")

    assert [one["label"] for one in found["predictions"]["classifications"]] == ["cat", "dog"]
    assert found["eval"] is True and found["tags"] == []
    assert sample_of(several | {"predictions": []}, "a")["predictions"]["classifications"] == []


def test_images_and_videos_are_two_datasets(tmp_path: Path) -> None:
    rows = [row(n, [picture(tmp_path, name)]) for n, name in enumerate(("a.png", "b.mp4", "c.png"))]

    done = write_dataset(lambda: [*rows, row(3, [])], tmp_path / "out")

    assert [one["savs_index"] for one in samples_in(tmp_path / "out" / "images")] == [0, 2]
    assert [one["savs_index"] for one in samples_in(tmp_path / "out" / "videos")] == [1]
    assert (done.samples, done.left) == (3, {"without media": 1})


def test_media_in_a_bucket_are_copied_and_a_gone_one_fails_only_its_row(
    tmp_path: Path, bucket: str, s3_server: str
) -> None:
    s3_client(s3_server).put_object(Bucket=bucket, Key="a/b.png", Body=b"picture")
    rows = [row(0, [f"s3://{bucket}/a/b.png"]), row(1, [str(tmp_path / "gone.png")])]
    rows += [row(2, [picture(tmp_path), "second.png"]), row(3, ["half\ud800.png"])]

    done = write_dataset(lambda: rows, tmp_path / "out")

    first, second = samples_in(tmp_path / "out")
    assert (tmp_path / "out" / first["filepath"]).read_bytes() == b"picture"
    assert first["filepath"].startswith("data/00000000-") and second["filepath"] == str(tmp_path / "a.png")
    assert second["media"] == rows[2]["media"]
    assert done.left == {"whose media cannot be copied": 2}
    assert len([*(tmp_path / "out" / "data").iterdir()]) == 1


def test_metadata_are_of_the_form_that_is_read_without_a_database(tmp_path: Path) -> None:
    rows = [row(0, [picture(tmp_path)], label="cow", scores={"cat": 0.9, "dog": 0.1})]

    write_dataset(lambda: rows, tmp_path / "out")

    metadata = json.loads((tmp_path / "out" / "metadata.json").read_text())
    assert "version" not in metadata and metadata["info"]["default_classes"] == ["cat", "cow", "dog"]
    again = write_dataset(lambda: [], tmp_path / "none")
    assert again.samples == 0


def test_a_folder_that_holds_something_is_left_alone(tmp_path: Path) -> None:
    picture(tmp_path)

    with pytest.raises(SettingsError, match="is not empty; name a new folder"):
        write_dataset(lambda: [], tmp_path)

"""Jobs over manifests of the published formats: lists, prompts with marks, paths of somebody else's disk."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.jobs.conftest import (
    HEADS,
    SHARD,
    Corpus,
    Finished,
    finished,
    read_jsonl,
    savs_submit,
    write_jsonl,
)

ELSEWHERE = "/datasets/shapes"


def run(corpus: Corpus, model: Path, workspace: Path, *more: str) -> Finished:
    result = savs_submit(
        *("run", "--train", corpus.train, "--data", corpus.data, "--name", "shapes", "--model", model),
        *(
            "--workspace",
            workspace,
            "--heads",
            HEADS,
            "--readout",
            "reference",
            "--shard-size",
            SHARD,
            "--batch-tokens",
            200,
            *more,
        ),
    )
    assert result.exit_code == 0, result.output
    return finished(workspace)


def said(done: Finished) -> list[tuple[Any, ...]]:
    rows = [json.loads(row) for row in done.rows.splitlines()]
    return [(row["index"], row["prediction"], row["votes"], row.get("label")) for row in rows]


def rewrite(corpus: Corpus, listed: bool, change: Any, indent: int | None = 2) -> None:
    for path in (corpus.train, corpus.data):
        rows = [change(row) for row in read_jsonl(path)]
        if listed:
            path.write_text(json.dumps(rows, indent=indent) + "\n")
        else:
            write_jsonl(path, rows)


@pytest.mark.parametrize("indent", [2, None])  # None: all of it on one line
def test_a_json_list_is_labelled_like_the_same_rows_on_lines(
    own_corpus: Corpus, qwen2_vl: Path, workspace: Path, calm: Finished, indent: int | None
) -> None:
    rewrite(own_corpus, True, lambda row: row, indent)

    assert said(run(own_corpus, qwen2_vl, workspace)) == said(calm)


def test_paths_of_somebody_elses_disk_are_found_under_the_media_root(
    own_corpus: Corpus, qwen2_vl: Path, workspace: Path, tmp_path: Path, calm: Finished
) -> None:
    (own_corpus.folder / "pictures").rename(tmp_path / "mine")
    rewrite(own_corpus, False, lambda row: row | {"image": f"{ELSEWHERE}/{row['image']}"})

    done = run(
        *(own_corpus, qwen2_vl, workspace),
        *("--strip-prefix", f"{ELSEWHERE}/pictures", "--media-root", str(tmp_path / "mine")),
    )

    assert said(done) == said(calm)


def test_pictures_stand_where_their_marks_are(
    own_corpus: Corpus, qwen2_vl: Path, workspace: Path, tmp_path: Path, calm: Finished
) -> None:
    # given the same rows as BLINK has them: a list, pictures in fields, marks in the question
    def blink(row: dict[str, str]) -> dict[str, Any]:
        label = {"label": row["label"]} if "label" in row else {}
        return {
            "question": "<image>" + row["question"],
            "image_1": row["image"],
            "image_2": None,
        } | label

    rewrite(own_corpus, True, blink)

    # then a mark before the question is what pictures do anyhow, and so the answers are the same
    assert said(run(own_corpus, qwen2_vl, workspace, "--format", "blink")) == said(calm)


def test_plan_lists_media_that_are_not_there_and_fields_that_nobody_knows(own_corpus: Corpus) -> None:
    rewrite(own_corpus, True, lambda row: row | {"colour": "red"})
    own_corpus.pictures[3].unlink()
    own_corpus.pictures[7].unlink()

    result = savs_submit("plan", "--data", own_corpus.data, "--check-media", "--json")

    [found] = json.loads(result.stdout)
    lines = own_corpus.data.read_text().splitlines()
    assert result.exit_code == 0
    assert found["missing"] == 2 and len(found["absent"]) == 2
    for bad, picture in zip(found["absent"], (own_corpus.pictures[3], own_corpus.pictures[7]), strict=True):
        assert str(picture) in bad["reason"]
        assert picture.name in lines[bad["line"]]  # an object begins a line before its first field
    assert list(found["unknown"]) == ["colour"]
    people = savs_submit("plan", "--data", own_corpus.data, "--check-media").stdout
    assert "missing media files: 2" in people and "colour" in people


def test_a_list_that_is_cut_off_is_refused_before_anything_is_written(
    own_corpus: Corpus, workspace: Path
) -> None:
    rewrite(own_corpus, True, lambda row: row)
    whole = own_corpus.data.read_bytes()
    own_corpus.data.write_bytes(whole[: len(whole) // 2])

    result = savs_submit(
        *("run", "--train", own_corpus.train, "--data", own_corpus.data, "--name", "x"),
        *("--model", "demo", "--workspace", workspace),
    )

    assert result.exit_code == 2 and "the list has no end" in result.stderr
    assert not list(workspace.rglob("job.json"))


@pytest.mark.parametrize(
    ("option", "reason"),
    [
        (("--format", "coco"), "no format 'coco'; the formats are: general"),
        (("--media-root", "https://example.org/"), "--media-root: https://example.org/ is neither"),
    ],
)
def test_a_format_or_root_that_cannot_be_is_wrong_usage(
    corpus: Corpus, workspace: Path, option: tuple[str, str], reason: str
) -> None:
    result = savs_submit(
        *("extract", "--train", corpus.train, "--name", "x", "--model", "demo"),
        *("--workspace", workspace, *option),
    )

    assert result.exit_code == 2 and reason in result.stderr
    assert not workspace.exists()

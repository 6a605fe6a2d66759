"""What users get wrong: named with its place and reason, before anything is begun where that is
possible, and else at the cost of one row."""

import json
import os
import shutil
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from PIL import Image

from tests.jobs.conftest import (
    EXAMPLES,
    HEADS,
    QUESTION,
    ROWS,
    Corpus,
    Finished,
    finished,
    read_jsonl,
    run_arguments,
    savs_submit,
    started,
    write_jsonl,
)

GOOD = {"image": "pictures/train-00.png", "question": QUESTION, "label": "circle"}
BAD_LINES = [
    (b"{ no json", "not JSON"),
    (b"\xff\xfe\xfa", "not UTF-8"),
    (b"42", "not an object but a number"),
    ({**GOOD, "label": None}, "'label' is missing"),
    ({**GOOD, "label": {"circle": 1}}, "'label' must be text, not an object"),
    ({**GOOD, "question": 7}, "'question' must be text, not a number"),
    ({**GOOD, "image": [GOOD["image"], 3]}, "'image' must be a path or a list of paths"),
    ({**GOOD, "question_id": 1.5}, "'question_id' must be text or a whole number"),
    ({"question": QUESTION}, "'label' is missing"),
]


def test_a_bad_training_file_is_refused_before_anything_is_begun(
    own_corpus: Corpus, qwen2_vl: Path, workspace: Path
) -> None:
    # given good rows with every kind of bad line among them, the first of them in line 25
    rows = [*read_jsonl(own_corpus.train), *(line for line, _ in BAD_LINES), GOOD]
    write_jsonl(own_corpus.train, rows)
    program = (
        "import sys\n"
        "from jobs.cli import main\n"
        "try: main(sys.argv[1:])\n"
        "except SystemExit as end: code = end.code\n"
        "heavy = {'torch', 'transformers', 'numpy', 'PIL'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
        "sys.exit(code)\n"
    )

    done = subprocess.run(
        [sys.executable, "-c", program, *run_arguments(own_corpus, qwen2_vl, workspace)],
        capture_output=True,
        text=True,
        timeout=60,
    )

    # then each is named with file, line and reason, no model was loaded, and nothing was written
    assert done.returncode == 2, done.stderr
    for number, (_, reason) in enumerate(BAD_LINES, EXAMPLES + 1):
        first = [why for _, why in BAD_LINES].index(reason) + EXAMPLES + 1
        assert f"{own_corpus.train}:{first}: {reason}" in done.stderr
        assert number == first or f"also in line {number})" in done.stderr
    assert f"{len(BAD_LINES)} unusable lines" in done.stderr and "Traceback" not in done.stderr
    assert done.stdout == "" and not workspace.exists()


def test_the_same_lines_in_the_corpus_cost_a_row_each(
    own_corpus: Corpus, qwen2_vl: Path, workspace: Path, calm: Finished
) -> None:
    # given the corpus with bad lines at its beginning, and two that lack a label, which none need
    bad = [*BAD_LINES, ({"label": "circle"}, "neither 'image' nor 'question'")]
    unlabelled = [line for line, reason in bad if reason == "'label' is missing"]
    bad = [(line, reason) for line, reason in bad if line not in unlabelled]
    write_jsonl(own_corpus.data, [*(line for line, _ in bad), *read_jsonl(own_corpus.data)])

    result = savs_submit(*run_arguments(own_corpus, qwen2_vl, workspace))

    assert result.exit_code == 3, result.output
    rows = [json.loads(one) for one in finished(workspace).rows.splitlines()]
    for index, (row, (_, reason)) in enumerate(zip(rows, bad, strict=False)):
        assert set(row) == {"index", "id", "task", "media", "prediction", "votes", "error"}
        assert (row["index"], row["prediction"], row["votes"]) == (index, None, {})
        assert row["error"]["kind"] == "bad_row"
        assert f"{own_corpus.data}:{index + 1}: {reason}" in row["error"]["message"]
    # and all others are what they are without them
    votes = [json.loads(one)["votes"] for one in calm.rows.splitlines()]
    assert [row["votes"] for row in rows[len(bad) :]] == votes
    summary = finished(workspace).summary("classify")
    assert (summary["rows"], summary["labelled"], summary["failed"]) == (ROWS + len(bad), ROWS, len(bad))
    assert summary["errors"]["bad_row"]["rows"] == len(bad)
    assert len(summary["errors"]["bad_row"]["examples"]) == 3
    assert f"bad_row: {len(bad)} rows" in result.stdout.replace("\n", " ")


def write_video(path: Path, frames: int = 6) -> None:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=4)
        stream.width = stream.height = 84
        for i in range(frames):
            pixels = np.full((84, 84, 3), 40 * i, np.uint8)
            for packet in stream.encode(av.VideoFrame.from_ndarray(pixels)):
                container.mux(packet)
        for packet in stream.encode():
            container.mux(packet)


def spoil(corpus: Corpus) -> dict[int, str]:
    """Spoils pictures of the corpus, each in another way; the kind of error that each row should get."""
    rows = read_jsonl(corpus.data)
    pictures = corpus.folder / "pictures"
    write_video(pictures / "whole.mp4")
    clip = (pictures / "whole.mp4").read_bytes()
    (pictures / "rubbish.mp4").write_bytes(b"not a video at all" * 50)
    (pictures / "cut.mp4").write_bytes(clip[: len(clip) // 3])
    (pictures / "empty.mp4").write_bytes(b"")

    picture = corpus.pictures
    picture[1].unlink()
    picture[3].write_bytes(picture[3].read_bytes()[:200])
    picture[4].write_bytes(b"")
    picture[6].write_bytes(b"%PDF-1.7 this is no picture")
    Image.new("1", (10_000, 10_000)).save(picture[7])
    picture[9].unlink()
    picture[9].mkdir()
    rows[10]["image"] = "pictures/rubbish.mp4"
    rows[11]["image"] = "pictures/cut.mp4"
    rows[12]["image"] = "pictures/empty.mp4"
    rows[13]["image"] = "pictures/nothing.mp4"
    rows[14]["question"] = "Which shape is it? " * 2000
    rows[15]["question"] = "x" * 200_000
    rows[16]["image"] = "https://example.org/cat.png"
    rows[17]["image"] = "gs://bucket/cat.png"
    rows[18]["image"] = "pictures/" + "x" * 300 + ".png"
    rows[19]["image"] = [rows[19]["image"], "pictures/missing.png"]
    rows[20]["question"] = "What is <|image_pad|> here?"
    rows[21]["image"] = "pictures/bomb.png"
    (pictures / "bomb.png").write_bytes(png_that_claims(60_000, 60_000))
    rows[22]["image"] = "pictures/whole.mp4"  # a video is no error
    write_jsonl(corpus.data, rows)
    return {
        1: "missing_media",
        3: "unreadable_media",
        4: "unreadable_media",
        6: "unreadable_media",
        7: "media_too_large",
        9: "unreadable_media",
        10: "unreadable_media",
        11: "unreadable_media",
        12: "unreadable_media",
        13: "missing_media",
        14: "item_too_long",
        15: "item_too_long",
        16: "forbidden_media",
        17: "forbidden_media",
        18: "unreadable_media",
        19: "missing_media",
        20: "unusable_prompt",
        21: "media_too_large",
    }


def png_that_claims(width: int, height: int) -> bytes:
    """A PNG of a few bytes whose header says that it is this large."""
    import zlib

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    pixels = zlib.compress(bytes(1000))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


def test_media_and_questions_that_cannot_be_used_cost_a_row_each(
    own_corpus: Corpus, qwen2_vl: Path, workspace: Path, calm: Finished
) -> None:
    expected = spoil(own_corpus)

    result = savs_submit(*run_arguments(own_corpus, qwen2_vl, workspace))

    assert result.exit_code == 3, result.output
    done = finished(workspace)
    rows = [json.loads(one) for one in done.rows.splitlines()]
    got = {row["index"]: row["error"]["kind"] for row in rows if "error" in row}
    assert got == expected, {row["index"]: row["error"] for row in rows if "error" in row}
    # then what was unreadable is said in the row, and its label is kept
    assert rows[1]["label"] == "square" and str(own_corpus.pictures[1]) in rows[1]["error"]["message"]
    assert all(row["error"]["message"] for row in rows if "error" in row)
    # and every other row is labelled as if nothing had been
    assert len(rows) == ROWS and [row["index"] for row in rows] == list(range(ROWS))
    for row, calm_row in zip(rows, map(json.loads, calm.rows.splitlines()), strict=True):
        if row["index"] not in expected and row["index"] != 22:
            assert row["votes"] == calm_row["votes"] and row["prediction"] == calm_row["prediction"]
    assert sum(rows[22]["votes"].values()) == HEADS, "the video"
    summary = done.summary("classify")
    assert (summary["labelled"], summary["failed"]) == (ROWS - len(expected), len(expected))
    assert {kind: one["rows"] for kind, one in summary["errors"].items()} == {
        kind: list(expected.values()).count(kind) for kind in expected.values()
    }
    assert summary["scored"] == sum("label" in row and "error" not in row for row in rows)


def test_a_corpus_of_nothing_but_errors_ends_all_the_same(
    own_corpus: Corpus, qwen2_vl: Path, workspace: Path
) -> None:
    for picture in own_corpus.pictures:
        picture.write_bytes(b"")
    result = savs_submit(*run_arguments(own_corpus, qwen2_vl, workspace))
    assert result.exit_code == 1, result.output
    summary = finished(workspace).summary("classify")
    assert (summary["labelled"], summary["failed"], summary["classes"]) == (0, ROWS, {})
    # and that is no success, whatever the number of rows
    assert (summary["status"], summary["reason"]) == (
        "failed",
        "all of its 40 rows failed (40 unreadable_media)",
    )
    assert "savs-submit retry shapes" in summary["advice"]


def test_training_pictures_that_are_lost_are_left_out_with_a_warning(
    own_corpus: Corpus, qwen2_vl: Path, workspace: Path
) -> None:
    lost = [own_corpus.folder / "pictures" / f"train-{i:02d}.png" for i in (0, 4, 8)]
    for picture in lost:
        picture.unlink()

    result = savs_submit(*run_arguments(own_corpus, qwen2_vl, workspace))

    assert result.exit_code == 3, result.output
    done = finished(workspace)
    assert done.summary("extract")["warnings"] == ["3 of 24 examples could not be read and were left out"]
    assert "3 of 24 examples could not be read" in result.stdout
    assert done.summary("classify")["labelled"] == ROWS
    manifest = json.loads(Path(done.summary("extract")["artifact"], "manifest.json").read_bytes())
    assert [one["id"] for one in manifest["training"]] == [
        str(i) for i in range(EXAMPLES) if i not in (0, 4, 8)
    ]


def test_a_class_without_one_picture_left_fails_the_job_and_what_waits_is_not_run(
    own_corpus: Corpus, qwen2_vl: Path, workspace: Path
) -> None:
    # given that every picture of the class "star" is gone
    for i in range(2, EXAMPLES, 3):
        (own_corpus.folder / "pictures" / f"train-{i:02d}.png").unlink()

    result = savs_submit(*run_arguments(own_corpus, qwen2_vl, workspace))

    assert result.exit_code == 1, result.output
    assert "no example of class 'star' (8 examples could not be read)" in result.stdout.replace("\n", " ")
    assert not (workspace / "artifacts").exists()
    assert list(workspace.glob("jobs/*-classify-*/commits/*")) == []
    states = json.loads(savs_submit("status", "shapes", "--workspace", workspace, "--json").stdout)
    assert [state["status"] for state in states] == ["failed", "blocked"]
    # and going on says the same again
    result = savs_submit("resume", "shapes", "--workspace", workspace)
    assert result.exit_code == 1 and "no example of class 'star'" in result.stdout
    assert "Traceback" not in result.output


def test_more_heads_than_the_model_has_are_refused_before_it_is_loaded(
    corpus: Corpus, qwen2_vl: Path, workspace: Path
) -> None:
    result = savs_submit(
        *("extract", "--train", corpus.train, "--name", "shapes", "--model", qwen2_vl),
        *("--workspace", workspace, "--heads", 13),
    )
    assert result.exit_code == 2
    assert result.stderr == f"savs-submit: --heads: 13 were asked for, and {qwen2_vl} has 12\n"
    assert not workspace.exists()


def test_one_class_alone_is_refused_before_anything_is_written(
    own_corpus: Corpus, qwen2_vl: Path, workspace: Path
) -> None:
    rows = [row for row in read_jsonl(own_corpus.train) if row["label"] == "star"]
    result = savs_submit(
        *("extract", "--train", write_jsonl(own_corpus.train, rows), "--name", "shapes"),
        *("--model", qwen2_vl, "--workspace", workspace, "--heads", 3),
    )
    assert result.exit_code == 2 and "at least two classes are needed" in result.stderr
    assert not workspace.exists()


HOSTILE = [
    "🐈‍⬛ قطة",
    "[bold]x[/bold]",
    "[/red]",
    "[link=http://example.org]x",
    "one\ntwo\r\nthree\u2028four\x1c\x85",
    "../../x",
    "x" * 10_000,
    ":cat: \\",
    " padded ",
    "\x1b[31mred\x1b[0m\a",
    "null",
    "%s {0} ${HOME}",
]


def test_hostile_labels_come_through_unchanged(own_corpus: Corpus, qwen2_vl: Path, workspace: Path) -> None:
    # given two examples of each hostile class, and a corpus that carries the same labels
    pictures = [f"pictures/train-{i:02d}.png" for i in range(EXAMPLES)]
    train = [
        {"image": picture, "question": QUESTION, "label": HOSTILE[i % len(HOSTILE)]}
        for i, picture in enumerate(pictures)
    ]
    data = [{"image": row["image"], "label": row["label"], "id": row["label"]} for row in train]
    write_jsonl(own_corpus.train, train)
    write_jsonl(own_corpus.data, [*data, {"image": "pictures/[/red]no.png", "label": "[/red]"}])

    with started(*run_arguments(own_corpus, qwen2_vl, workspace)) as process:
        stdout, stderr = process.communicate(timeout=120)

    # then the only item that failed is the one that should, and all is as it was written
    assert process.returncode == 3, stderr
    assert "Traceback" not in stdout + stderr
    done = finished(workspace)
    *rows, last = [json.loads(one) for one in done.rows.split(b"\n") if one]
    assert last["error"]["kind"] == "missing_media" and "[/red]no.png" in last["error"]["message"]
    assert [row["label"] for row in rows] == [row["label"] for row in train]
    assert [row["id"] for row in rows] == [row["label"] for row in train]
    assert {row["prediction"] for row in rows} <= set(HOSTILE)
    assert all(set(row["votes"]) <= set(HOSTILE) for row in rows)
    assert len({row["prediction"] for row in rows}) > 3
    summary = done.summary("classify")
    assert set(summary["confusion"]) == set(HOSTILE)
    [artifact] = workspace.glob("artifacts/shapes/*/manifest.json")
    assert json.loads(artifact.read_bytes())["classes"] == HOSTILE
    # and printed as they are: markup and emoji codes are not interpreted, and terminals not steered
    shown = ["🐈‍⬛ قطة", "[bold]x[/bold]", "[/red]", "one\\x0atwo", "../../x", ":cat: \\", r"\x1b[31mred"]
    printed = [text for text in shown if any(name.startswith(text[:3]) for name in summary["classes"])]
    assert len(printed) > 2 and all(text in stdout for text in printed), stdout
    assert "[/red]no.png" in stdout.replace("\n", "")
    assert "\x1b" not in stdout
    # and nothing was written outside of the workspace
    assert sorted(p.name for p in workspace.parent.iterdir()) == ["results", "shapes"]
    result = savs_submit("results", "shapes", "--workspace", workspace)
    assert result.stdout_bytes == done.rows


WRONG: list[tuple[str, dict[str, Any], str]] = [
    ("an unknown model", {"--model": "no-such-model"}, "--model: 'no-such-model' is not a folder"),
    ("a folder that is no checkpoint", {"--model": "{folder}"}, "is not a folder with a config.json"),
    ("a model with a very long name", {"--model": "m" * 300}, "is not a folder with a config.json"),
    ("no training file", {"--train": "{folder}/no.jsonl"}, "--train: {folder}/no.jsonl does not exist"),
    ("no corpus", {"--data": "{folder}/no.jsonl"}, "--data: {folder}/no.jsonl does not exist"),
    ("a corpus with a very long name", {"--data": "{folder}/" + "n" * 300}, "--data: "),
    ("a corpus that is a folder", {"--data": "{folder}"}, "--data: {folder} is a folder and --train is not"),
    ("a training file that is a folder", {"--train": "{folder}"}, "--train: {folder} is a folder"),
    ("an empty corpus", {"--data": "{folder}/empty.jsonl"}, "empty.jsonl has no rows"),
    ("an empty training file", {"--train": "{folder}/empty.jsonl"}, "empty.jsonl has no rows"),
    ("a name with a slash", {"--name": "a/b"}, "'a/b' cannot be a name"),
    ("a name that goes up", {"--name": "../x"}, "'../x' cannot be a name"),
    ("no workspace", {"--workspace": None}, "no workspace: use --workspace, SAVS_WORKSPACE, or savs.toml"),
    ("a workspace that is a file", {"--workspace": "{folder}/train.jsonl"}, "is a file; a folder is needed"),
    ("a workspace below a file", {"--workspace": "{folder}/train.jsonl/x/y"}, "--workspace: "),
    ("a workspace elsewhere", {"--workspace": "gs://bucket/x"}, "--workspace: gs://bucket/x"),
    ("a workspace without a bucket", {"--workspace": "s3://"}, "--workspace: s3:// is neither"),
    ("a workspace with a very long name", {"--workspace": "w" * 300}, "--workspace: "),
    (
        "a corpus elsewhere",
        {"--data": "gs://bucket/rows.jsonl"},
        "--data: gs://bucket/rows.jsonl: only local",
    ),
    ("no heads", {"--heads": "0"}, "--heads"),
    ("heads that are no number", {"--heads": "many"}, "--heads"),
    ("an empty shard", {"--shard-size": "0"}, "--shard-size"),
    ("an unknown option", {"--colour": "red"}, "No such option '--colour'|No such option: --colour"),
    ("an unknown readout", {"--readout": "other"}, "--readout"),
    ("no training option", {"--train": None}, "give --train and --data"),
]


@pytest.mark.parametrize(("changes", "message"), [(c, m) for _, c, m in WRONG], ids=[w for w, _, _ in WRONG])
def test_wrong_usage_is_one_clear_message_and_nothing_is_begun(
    own_corpus: Corpus,
    qwen2_vl: Path,
    workspace: Path,
    changes: dict[str, Any],
    message: str,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    (own_corpus.folder / "empty.jsonl").write_bytes(b"\n\n")
    monkeypatch.chdir(tmp_path)
    given = {
        "--train": own_corpus.train,
        "--data": own_corpus.data,
        "--model": qwen2_vl,
        "--name": "shapes",
        "--workspace": workspace,
    } | changes
    options = [
        str(part).replace("{folder}", str(own_corpus.folder))
        for option, value in given.items()
        if value is not None
        for part in (option, value)
    ]

    result = savs_submit("run", *options)

    assert result.exit_code == 2, result.output
    expected = [one.replace("{folder}", str(own_corpus.folder)) for one in message.split("|")]
    assert any(one in result.stderr for one in expected), result.stderr
    said = result.stderr.splitlines()
    assert len(said) == 1 or said[0].startswith("Usage:"), "one line, or click's own three"
    assert result.stdout == ""
    assert sorted(p.name for p in tmp_path.iterdir()) == ["shapes"], "something was written"


def test_wrong_usage_with_json_is_json_too(corpus: Corpus, workspace: Path) -> None:
    result = savs_submit(
        *("extract", "--train", corpus.train, "--name", "x", "--model", "nobody", "--json"),
        *("--workspace", workspace),
    )
    assert result.exit_code == 2
    assert json.loads(result.stdout)["error"].startswith("--model: 'nobody' is not a folder")


@pytest.mark.parametrize("command", ["status", "resume", "results"])
def test_a_name_that_is_not_there_is_wrong_usage(calm: Finished, command: str) -> None:
    result = savs_submit(command, "nobody", "--workspace", calm.workspace)
    assert result.exit_code == 2
    assert "no job 'nobody'" in result.stderr and "it has shapes" in result.stderr


@pytest.mark.parametrize(
    "artifact",
    ["nobody", "shapes/nobody", "../nobody", "../../etc", "/nowhere/at/all", "", "a\0b", "x" * 300],
)
def test_an_artifact_that_is_not_there_is_wrong_usage(corpus: Corpus, calm: Finished, artifact: str) -> None:
    before = sorted(calm.workspace.rglob("*"))
    result = savs_submit(
        *("classify", "--data", corpus.data, "--artifact", artifact, "--name", "new"),
        *("--workspace", calm.workspace),
    )
    assert result.exit_code == 2, result.output
    assert "no artifact" in result.stderr and len(result.stderr.splitlines()) == 1
    assert sorted(calm.workspace.rglob("*")) == before


@pytest.mark.parametrize("damage", ["no manifest", "garbage", "newer", "tensors cut", "no tensors"])
def test_a_spoilt_artifact_is_a_clear_error(
    corpus: Corpus, calm: Finished, tmp_path: Path, workspace: Path, damage: str
) -> None:
    folder = tmp_path / "artifact"
    shutil.copytree(calm.summary("extract")["artifact"], folder)
    manifest, tensors = folder / "manifest.json", folder / "savs.safetensors"
    if damage == "no manifest":
        manifest.unlink()
    elif damage == "garbage":
        manifest.write_bytes(b"[" * 100_000)
    elif damage == "newer":
        manifest.write_text(json.dumps(json.loads(manifest.read_bytes()) | {"schema_version": 99}))
    elif damage == "tensors cut":
        os.truncate(tensors, tensors.stat().st_size // 2)
    else:
        tensors.unlink()

    result = savs_submit(
        *("classify", "--data", corpus.data, "--artifact", folder, "--name", "new"),
        *("--workspace", workspace),
    )

    assert result.exit_code in (1, 2), result.output
    said = result.stderr.splitlines()[-1]
    assert "artifact" in said or "savs.safetensors" in said, result.stderr
    assert list(workspace.glob("jobs/*/commits/*")) == []


def test_a_checkpoint_that_is_none_is_a_clear_error(corpus: Corpus, workspace: Path, tmp_path: Path) -> None:
    folder = tmp_path / "checkpoint"
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    result = savs_submit(
        *("extract", "--train", corpus.train, "--name", "x", "--model", folder, "--workspace", workspace)
    )
    assert result.exit_code == 1
    assert "not an image-text-to-text checkpoint" in result.stderr and "Traceback" not in result.stderr

"""Corpora in tars are labelled like the same items in files."""

import json
import os
import signal
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from savs.storage import open_store
from tests.jobs.conftest import (
    CLASSES,
    QUESTION,
    ROWS,
    SHARD,
    Corpus,
    Finished,
    commits,
    finished,
    read_jsonl,
    savs_submit,
    started,
    wait_until,
    write_jsonl,
)
from tests.savs.data.tars import write_tar

ITEMS = 10  # of a tar


def write_tars(folder: Path, corpus: Corpus, wrong: bool = False) -> Path:
    """Tars of the examples, whose labels are numbers, and of the corpus, which has JSON; `wrong` labels in
    there, if so."""

    def member(row: dict[str, Any]) -> tuple[str, bytes]:
        picture = corpus.folder / row["image"]
        return picture.name, picture.read_bytes()

    for kind, manifest in (("train", corpus.train), ("corpus", corpus.data)):
        rows = read_jsonl(manifest)
        for begin in range(0, len(rows), ITEMS):
            members = []
            for row in rows[begin : begin + ITEMS]:
                key = Path(row["image"]).stem
                if kind == "train":
                    text = "cls", b"%d\n" % CLASSES.index(row["label"])
                else:
                    label = {"label": CLASSES[0]} if wrong else {k: row[k] for k in ("label",) if k in row}
                    text = "json", json.dumps({"question": QUESTION, "source": key} | label).encode()
                members += [member(row), (f"{key}.{text[0]}", text[1])]
            write_tar(folder / kind / f"{kind}-{begin // ITEMS:03d}.tar", members)
    return folder


@pytest.fixture(scope="module")
def tars(corpus: Corpus, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tars(tmp_path_factory.mktemp("tars"), corpus)


@pytest.fixture(scope="module")
def names(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("names") / "names.txt"
    path.write_text("\n".join(CLASSES))
    return path


@pytest.fixture(scope="module")
def calm(corpus: Corpus, tmp_path_factory: pytest.TempPathFactory) -> Finished:
    """A run of the same items in files and JSONL."""
    workspace = tmp_path_factory.mktemp("calm")
    assert savs_submit(*arguments(corpus.train, corpus.data, workspace)).exit_code == 0
    return finished(workspace)


def arguments(train: Path | str, data: Path | str, workspace: Path, *more: object) -> list[str]:
    return [
        *("run", "--train", str(train), "--data", str(data), "--name", "shapes", "--model", "demo"),
        *("--workspace", str(workspace), "--heads", "5", "--readout", "reference"),
        *("--shard-size", str(SHARD), "--batch-tokens", "200", *map(str, more)),
    ]


def run_tars(folder: Path | str, names: Path, workspace: Path, *more: object) -> list[str]:
    options = ("--question", QUESTION, "--class-names", names)
    return arguments(f"{folder}/train", f"{folder}/corpus", workspace, *options, *more)


def answers(run: Finished) -> list[dict[str, Any]]:
    """What does not depend on where the items lie."""
    kept = ("index", "prediction", "votes", "confidence", "margin", "label", "error")
    return [{k: row.get(k) for k in kept} for row in map(json.loads, run.rows.splitlines())]


def test_tars_in_a_folder_end_with_the_answers_of_files(
    tars: Path, names: Path, workspace: Path, calm: Finished
) -> None:
    result = savs_submit(*run_tars(tars, names, workspace))

    assert result.exit_code == 0, result.output
    assert "train: WebDataset, 24 rows, 3 tars; label=cls" in result.stderr
    assert "corpus: WebDataset, 40 rows, 4 tars; label=label, question=question" in result.stderr
    done = finished(workspace)
    assert answers(done) == answers(calm)
    assert done.tensors == calm.tensors
    first = json.loads(done.rows.splitlines()[0])
    assert (first["id"], first["extra"]) == ("item-00", {"source": "item-00"})
    assert first["media"] == [f"{tars}/corpus/corpus-000.tar#item-00.png"]

    # and the same command joins the same job, and does not read the tars again
    before = sorted(path.name for path in (workspace / "jobs").iterdir())
    assert savs_submit(*run_tars(tars, names, workspace)).exit_code == 0
    assert sorted(path.name for path in (workspace / "jobs").iterdir()) == before


def test_tars_on_s3_end_with_the_answers_of_files(
    tars: Path, names: Path, workspace: Path, calm: Finished, bucket: str
) -> None:
    store = open_store("s3://corpus/tars")
    for path in tars.rglob("*.tar"):
        store.write(path.relative_to(tars).as_posix(), path.read_bytes())

    result = savs_submit(*run_tars("s3://corpus/tars", names, workspace))

    assert result.exit_code == 0, result.output
    assert answers(finished(workspace)) == answers(calm)
    assert finished(workspace).tensors == calm.tensors


def test_a_label_file_corrects_the_labels_in_tars(
    corpus: Corpus, names: Path, workspace: Path, tmp_path: Path, calm: Finished
) -> None:
    folder = write_tars(tmp_path / "tars", corpus, wrong=True)
    rows = read_jsonl(corpus.data)
    new = [{"__key__": Path(r["image"]).stem, "label": r["label"]} for r in rows if "label" in r]
    labels = write_jsonl(tmp_path / "labels.jsonl", [*new, {"__key__": "item-99", "label": "star"}])
    assert savs_submit(*run_tars(folder, names, tmp_path / "old")).exit_code == 0

    result = savs_submit(*run_tars(folder, names, workspace, "--label-file", labels))

    assert result.exit_code == 0, result.output
    assert f"{len(new)} of {len(new) + 1} keys in {labels} are those of items; 1 are not ('item-99')" in (
        result.stderr
    )
    expected = [row["label"] or CLASSES[0] for row in answers(calm)]
    assert [row["label"] for row in answers(finished(workspace))] == expected
    assert {row["label"] for row in answers(finished(tmp_path / "old"))} == {CLASSES[0]}


@pytest.mark.kill
def test_a_killed_run_of_tars_goes_on_where_it_was(
    tars: Path, names: Path, workspace: Path, calm: Finished
) -> None:
    with started(*run_tars(tars, names, workspace)) as process:
        wait_until(lambda: commits(workspace, "extract") > 0, "a shard is done")
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert commits(workspace, "classify") < ROWS // SHARD

    resumed = savs_submit("resume", "shapes", "--workspace", workspace)

    assert resumed.exit_code == 0, resumed.output
    assert answers(finished(workspace)) == answers(calm)
    assert finished(workspace).tensors == calm.tensors


def spoil(path: Path, name: str) -> Callable[[], None]:
    """Overwrites a member in its place, so that the tar looks unchanged; returns what restores it."""
    whole, found = path.read_bytes(), path.stat()
    with tarfile.open(path) as tar:
        member = tar.getmember(name)

    def write(data: bytes) -> None:
        path.write_bytes(data)
        os.utime(path, ns=(found.st_atime_ns, found.st_mtime_ns))

    end = member.offset_data + member.size
    write(whole[: member.offset_data] + bytes(member.size) + whole[end:])
    return lambda: write(whole)


def test_retry_reads_failed_members_again(
    corpus: Corpus, names: Path, workspace: Path, tmp_path: Path, calm: Finished
) -> None:
    folder = write_tars(tmp_path / "tars", corpus)
    restore = spoil(folder / "corpus" / "corpus-001.tar", "item-13.png")
    assert savs_submit(*run_tars(folder, names, workspace)).exit_code == 3
    [failed] = [row for row in answers(finished(workspace)) if row["error"]]
    assert (failed["index"], failed["error"]["kind"]) == (13, "unreadable_media")
    assert "corpus-001.tar#item-13.png" in failed["error"]["message"]

    restore()
    again = savs_submit("retry", "shapes", "--workspace", workspace)

    assert again.exit_code == 0, again.output
    assert answers(finished(workspace)) == answers(calm)


def test_an_item_that_cannot_be_used_fails_its_row_and_a_damaged_tar_is_told_before_anything_runs(
    corpus: Corpus, names: Path, workspace: Path, tmp_path: Path
) -> None:
    folder = write_tars(tmp_path / "tars", corpus)
    picture = corpus.pictures[1].read_bytes()
    odd = {"a.txt": b"no picture", "b\udcff.png": picture, "c\n\x1b[2J.png": picture, "../d.png": picture}
    write_tar(folder / "corpus" / "corpus-004.tar", odd)

    result = savs_submit(*run_tars(folder, names, workspace))

    assert result.exit_code == 3, result.output
    assert "44 rows (2 of them cannot be used)" in result.stderr
    rows = answers(finished(workspace))[ROWS:]
    assert [bool(row["error"]) for row in rows] == [True, True, False, False]
    assert "no image or video among txt" in rows[0]["error"]["message"]
    assert "\x1b" not in result.output + savs_submit("status", "--workspace", workspace).output

    path = folder / "corpus" / "corpus-002.tar"
    path.write_bytes(path.read_bytes()[:3000])
    damaged = savs_submit(*run_tars(folder, names, tmp_path / "other"))
    assert damaged.exit_code == 2
    assert "corpus-002.tar is damaged at byte" in damaged.stderr
    assert not (tmp_path / "other" / "jobs").exists()

"""What people have: CSV, compressed JSON and folders give the rows that the same items in JSONL give."""

import json
from pathlib import Path

import pytest

from jobs.ledger.ledger import Ledger
from tests.jobs.cli import datasets
from tests.jobs.cli.datasets import Write, brought, ran, rows_in, uploaded, votes, votes_of
from tests.jobs.conftest import (
    CLASSES,
    HEADS,
    QUESTION,
    ROWS,
    Corpus,
    Finished,
    commits,
    read_jsonl,
    savs_submit,
    started,
    wait_until,
)

FORMS = [
    datasets.as_csv,
    datasets.as_tsv,
    datasets.as_gzip,
    datasets.as_zstd,
    datasets.as_metadata,
    datasets.as_folder,
    datasets.as_parquet,
    datasets.as_images_in_parquet,
    datasets.as_saved,
]
FOUND = {
    datasets.as_csv: "CSV, 40 rows, image=path, label=class; 1 other column kept",
    datasets.as_tsv: "TSV, 40 rows, utf-16, image=File_Name, label=Category",
    datasets.as_gzip: "JSONL, 40 rows",
    datasets.as_zstd: "JSONL, 40 rows",
    datasets.as_metadata: "JSONL, 40 rows, image=file_name, label=label",
    datasets.as_folder: "folder of images and videos, 40 rows, left out: 1 hidden ('.DS_Store'), "
    "1 no image or video ('notes.txt')",
    datasets.as_parquet: "Parquet, 40 rows, 2 files, image=path, label=category; 1 other column kept",
    datasets.as_images_in_parquet: "Parquet, 40 rows, image=image, label=label, question=question; "
    "3 class names",
    datasets.as_saved: "Arrow, 40 rows, image=image, label=label, question=question; 3 class names",
}
forms = pytest.mark.parametrize("write", FORMS, ids=lambda write: write.__name__)


def same(rows: list[dict[str, object]], calm: Finished, write: Write) -> bool:
    """Whether rows are those of the calm run; a folder of a corpus has no labels."""
    wanted = votes_of(calm)
    if write is datasets.as_folder:
        wanted = [(prediction, count, None) for prediction, count, _ in wanted]
    return votes(rows) == wanted


@forms
def test_the_labels_and_votes_are_those_of_the_same_items_in_jsonl(
    corpus: Corpus, calm: Finished, qwen2_vl: Path, workspace: Path, tmp_path: Path, write: Write
) -> None:
    train, data = (brought(corpus, write, tmp_path / "in", part) for part in ("train", "corpus"))

    said = ran(qwen2_vl, workspace, train, data)

    assert same(rows_in(workspace), calm, write)
    assert f"{data}: {FOUND[write]}" in said.stderr.splitlines()
    if write not in (datasets.as_csv, datasets.as_folder):
        return
    # and the same command joins the same jobs, whose manifests are there already
    before = sorted(file.name for file in (workspace / "manifests").iterdir())
    again = ran(qwen2_vl, workspace, train, data)
    assert [job.spec.kind for job in Ledger(str(workspace)).jobs()].count("classify") == 1
    assert sorted(file.name for file in (workspace / "manifests").iterdir()) == before
    assert f"{data}: {FOUND[write]}" in again.stderr.splitlines()


@forms
def test_a_bucket_is_as_good_as_a_folder(
    corpus: Corpus,
    calm: Finished,
    qwen2_vl: Path,
    tmp_path: Path,
    bucket: str,
    s3_server: str,
    write: Write,
) -> None:
    train, data = (
        str(brought(corpus, write, tmp_path / "in", part)).replace(str(tmp_path / "in"), f"s3://{bucket}/in")
        for part in ("train", "corpus")
    )
    uploaded(s3_server, bucket, tmp_path)

    ran(qwen2_vl, f"s3://{bucket}/results", train, data, "--shard-size", 40)

    rows = rows_in(f"s3://{bucket}/results")
    assert same(rows, calm, write)
    assert all(row["media"][0].startswith(f"s3://{bucket}/in/") for row in rows)


def test_other_data_makes_another_job(
    corpus: Corpus, qwen2_vl: Path, workspace: Path, tmp_path: Path
) -> None:
    train, data = (brought(corpus, datasets.as_folder, tmp_path / "in", part) for part in ("train", "corpus"))
    ran(qwen2_vl, workspace, train, data)
    (Path(data) / "all" / "0003.png").write_bytes((Path(data) / "all" / "0004.png").read_bytes())

    ran(qwen2_vl, workspace, train, data)

    assert len(list(Ledger(str(workspace)).jobs())) == 3  # the examples are the same


def test_other_columns_appear_in_the_results(
    corpus: Corpus, qwen2_vl: Path, workspace: Path, tmp_path: Path
) -> None:
    train, data = (brought(corpus, datasets.as_csv, tmp_path / "in", part) for part in ("train", "corpus"))

    ran(qwen2_vl, workspace, train, data)

    for number, row in enumerate(rows_in(workspace)):
        assert row["extra"] == {"note": f'a "quoted", note;\nof line {number}'}


def test_a_bad_row_of_a_corpus_costs_a_row_and_says_where_it_is(
    corpus: Corpus, calm: Finished, qwen2_vl: Path, workspace: Path, tmp_path: Path
) -> None:
    data = brought(corpus, datasets.as_csv, tmp_path / "in", "corpus")
    lines = Path(data).read_bytes().splitlines(keepends=True)
    Path(data).write_bytes(b"".join([*lines, b"pictures/item-00.png,circle\r\n", b"p\xff.png,star,note\r\n"]))

    said = ran(qwen2_vl, workspace, corpus.train, data, code=3)

    rows = rows_in(workspace)
    assert votes(rows[:ROWS]) == votes_of(calm) and len(rows) == ROWS + 2
    assert [row["error"]["kind"] for row in rows[ROWS:]] == ["bad_row", "bad_row"]
    assert f"{data}:82: 2 fields, and the first line names 3" in rows[ROWS]["error"]["message"]
    assert f"{data}:83: not utf-8-sig: " in rows[ROWS + 1]["error"]["message"]
    assert "CSV, 42 rows (2 of them cannot be used)" in said.stderr


def refused(*arguments: object) -> str:
    result = savs_submit(*arguments)
    assert result.exit_code == 2, result.output
    return result.stderr


def test_a_bad_row_of_the_examples_begins_nothing(
    corpus: Corpus, qwen2_vl: Path, workspace: Path, tmp_path: Path
) -> None:
    train = brought(corpus, datasets.as_csv, tmp_path / "in", "train")
    with Path(train).open("ab") as file:
        file.write(b"pictures/train-00.png\r\n")

    said = refused(
        *("extract", "--train", train, "--name", "shapes", "--model", qwen2_vl, "--workspace", workspace),
        *("--question", QUESTION),
    )

    assert f"{train}:50: 1 fields, and the first line names 3" in said
    assert list(Ledger(str(workspace)).jobs()) == []


def test_labels_by_number_are_named_by_a_file(
    corpus: Corpus, calm: Finished, qwen2_vl: Path, workspace: Path, tmp_path: Path
) -> None:
    names = sorted(CLASSES, reverse=True)
    rows = [
        {"picture": str(corpus.folder / row["image"]), "y": names.index(row["label"])}
        for row in read_jsonl(corpus.train)
    ]
    (tmp_path / "train.jsonl").write_text("\n".join(map(json.dumps, rows)))
    (tmp_path / "names.txt").write_text("\n".join(names) + "\n")

    result = savs_submit(
        *("extract", "--train", tmp_path / "train.jsonl", "--name", "shapes", "--model", qwen2_vl),
        *("--workspace", workspace, "--question", QUESTION, "--columns", "image=picture,label=y"),
        *("--class-names", tmp_path / "names.txt", "--json", "--readout", "reference"),
    )

    assert result.exit_code == 0, result.output
    [artifact] = (workspace / "artifacts" / "shapes").iterdir()
    manifest = json.loads((artifact / "manifest.json").read_bytes())
    assert [row["label"] for row in manifest["training"]] == [
        row["label"] for row in read_jsonl(corpus.train)
    ]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"a,b\n1,2\n", "has no column of images; it has 'a', 'b'. Name it: --columns image=NAME"),
        (b"image,b\n1,2\n", "has no column of labels; it has 'image', 'b'. Name it: --columns label=NAME"),
        (b"image,label,image\n1,2,3\n", "two columns are called 'image'"),
        (b"image,label\n", "has no rows"),
        (b"\x00\x01\x02\x03", "is nothing that is known"),
        (b"", "has no rows"),
        (b"\x1f\x8b\x08\x00garbage", "cannot be unpacked"),
        (b"\x89PNG\r\n\x1a\n0000", "is nothing that is known"),
    ],
)
def test_what_cannot_be_examples_is_refused_with_what_is_there(
    qwen2_vl: Path, workspace: Path, tmp_path: Path, content: bytes, said: str
) -> None:
    (tmp_path / "rows").write_bytes(content)

    found = refused(
        *("extract", "--train", tmp_path / "rows", "--name", "a", "--model", qwen2_vl),
        *("--workspace", workspace, "--question", QUESTION),
    )

    assert said in found and str(tmp_path / "rows") in found


def test_a_truncated_gzip_is_refused_before_anything_is_written(
    corpus: Corpus, qwen2_vl: Path, workspace: Path, tmp_path: Path
) -> None:
    data = Path(brought(corpus, datasets.as_gzip, tmp_path / "in", "corpus"))
    data.write_bytes(data.read_bytes()[:-12])

    found = refused(
        *("run", "--train", corpus.train, "--data", data, "--name", "a", "--model", qwen2_vl),
        *("--workspace", workspace),
    )

    assert "cannot be unpacked" in found or (
        "cannot be read beyond line" in found and "is it complete?" in found
    )
    assert list(Ledger(str(workspace)).jobs()) == []


def test_examples_in_one_folder_need_a_folder_per_class(
    corpus: Corpus, qwen2_vl: Path, workspace: Path
) -> None:
    found = refused(
        *("extract", "--train", corpus.folder / "pictures", "--name", "a", "--model", qwen2_vl),
        *("--workspace", workspace, "--question", QUESTION),
    )

    assert "has no subfolders with images or videos; examples are in one folder per class" in found


def test_a_corpus_of_several_tasks_is_scored_by_each_tasks_own_label(
    own_corpus: Corpus, calm: Finished, qwen2_vl: Path, workspace: Path
) -> None:
    rows = [row | {"labels": {"shapes": "star"}} for row in read_jsonl(own_corpus.data)]
    own_corpus.data.write_text("\n".join(map(json.dumps, rows)))

    ran(qwen2_vl, workspace, own_corpus.train, own_corpus.data)

    found = rows_in(workspace)
    assert [row["label"] for row in found] == ["star"] * ROWS
    assert [one[:2] for one in votes(found)] == [one[:2] for one in votes_of(calm)]


def test_plan_reads_datasets_and_writes_nothing(corpus: Corpus, workspace: Path, tmp_path: Path) -> None:
    data = brought(corpus, datasets.as_csv, tmp_path / "in", "corpus")

    result = savs_submit(
        "plan", "--data", data, "--workspace", workspace, "--check-media", "--question", "What?"
    )

    assert result.exit_code == 0, result.output
    assert "40 rows (image)" in result.stdout and "missing media files: 0" in result.stdout
    assert not workspace.exists()


@pytest.mark.parametrize("readout", ["ridge", "auto"])
def test_several_tasks_of_one_corpus_are_fitted_and_labelled_at_once(
    own_corpus: Corpus, qwen2_vl: Path, workspace: Path, readout: str
) -> None:
    # given two tasks on the same pictures, and a corpus with a label for each
    examples = read_jsonl(own_corpus.train)
    other = [row | {"label": ("even", "odd")[n % 2]} for n, row in enumerate(examples)]
    (own_corpus.folder / "parity.jsonl").write_text("\n".join(map(json.dumps, other)))
    data = [row | {"labels": {"train": "star", "parity": "odd"}} for row in read_jsonl(own_corpus.data)]
    own_corpus.data.write_text("\n".join(map(json.dumps, data)))

    result = savs_submit(
        *("run", "--train", own_corpus.train, "--train", own_corpus.folder / "parity.jsonl"),
        *("--data", own_corpus.data, "--name", "both", "--model", qwen2_vl, "--workspace", workspace),
        *("--readout", readout, "--shard-size", 7),
    )

    # then each row has a label of both, scored by its own, and one table ends it
    assert result.exit_code == 0, result.output
    jobs = [job for job in Ledger(str(workspace)).jobs() if job.spec.kind == "classify"]
    assert sorted(job.spec.name for job in jobs) == ["both.parity", "both.train"]
    rows = [
        json.loads(row)
        for row in savs_submit("results", "both", "--workspace", workspace).stdout.splitlines()
    ]
    for task, label, classes in (
        ("both.train", "star", set(CLASSES)),
        ("both.parity", "odd", {"even", "odd"}),
    ):
        mine = [row for row in rows if row["task"] == task]
        assert len(mine) == ROWS and {row["label"] for row in mine} == {label}
        assert {row["prediction"] for row in mine} <= classes
    assert "both: 2 tasks" in result.stdout
    # and the corpus went through the model once: both have the timings of the same passes
    summaries = [json.loads((workspace / "jobs" / job.job_id / "summary.json").read_bytes()) for job in jobs]
    assert summaries[0]["timings"]["seconds"] == summaries[1]["timings"]["seconds"]


def test_several_tasks_need_one_corpus(own_corpus: Corpus, qwen2_vl: Path, workspace: Path) -> None:
    twice = ("--train", own_corpus.train, "--train", own_corpus.data)

    said = refused("run", *twice, "--name", "a", "--model", qwen2_vl, "--workspace", workspace)

    assert "give --data, the corpus that all --train files are tasks of" in said


def spoil(write: Write, folder: Path) -> tuple[Path, bytes]:
    """Damages media of a corpus in place; returns the file and what it was."""
    name = {
        datasets.as_csv: "pictures/item-00.png",
        datasets.as_folder: "photos/all/0000.png",
        datasets.as_images_in_parquet: "data.parquet",
        datasets.as_saved: "saved/data-00000-of-00001.arrow",
    }[write]
    file = folder / name
    before = file.read_bytes()
    at = before.index(b"\x89PNG")
    file.write_bytes(before[: at + 1] + b"XXXXXXXXXXXX" + before[at + 13 :])
    return file, before


@pytest.mark.parametrize(
    "write",
    [datasets.as_csv, datasets.as_folder, datasets.as_images_in_parquet, datasets.as_saved],
    ids=lambda write: write.__name__,
)
def test_retry_reads_the_media_of_each_kind_again(
    corpus: Corpus, calm: Finished, qwen2_vl: Path, workspace: Path, tmp_path: Path, write: Write
) -> None:
    data = brought(corpus, write, tmp_path / "in", "corpus")
    file, whole = spoil(write, tmp_path / "in" / "corpus")
    ran(qwen2_vl, workspace, corpus.train, data, code=3)
    failed = [row["index"] for row in rows_in(workspace) if "error" in row]
    assert failed and failed[0] == 0

    file.write_bytes(whole)
    said = savs_submit("retry", "shapes", "--workspace", workspace)

    assert said.exit_code == 0, said.output
    assert same(rows_in(workspace), calm, write)


@pytest.mark.kill
@pytest.mark.parametrize(
    "write", [datasets.as_csv, datasets.as_images_in_parquet], ids=lambda write: write.__name__
)
def test_a_killed_run_goes_on_with_its_manifest(
    corpus: Corpus, calm: Finished, qwen2_vl: Path, workspace: Path, tmp_path: Path, write: Write
) -> None:
    data = brought(corpus, write, tmp_path / "in", "corpus")
    command = ("run", "--train", corpus.train, "--data", data, "--name", "shapes", "--model", qwen2_vl)
    how = ("--workspace", workspace, "--heads", HEADS, "--readout", "reference", "--shard-size", 4)
    more = ("--batch-tokens", 200, "--question", QUESTION)
    with started(*command, *how, *more) as process:
        wait_until(lambda: commits(workspace, "classify") >= 2, "two shards of the corpus")
        process.kill()
        process.wait()

    said = savs_submit("resume", "shapes", "--workspace", workspace)

    assert said.exit_code == 0, said.output
    assert same(rows_in(workspace), calm, write)


def test_a_prefix_of_paths_is_no_matter_of_media_inside_of_tables(
    corpus: Corpus, calm: Finished, qwen2_vl: Path, workspace: Path, tmp_path: Path
) -> None:
    data = brought(corpus, datasets.as_images_in_parquet, tmp_path / "in", "corpus")

    ran(qwen2_vl, workspace, corpus.train, data, "--strip-prefix", str(tmp_path))

    assert same(rows_in(workspace), calm, datasets.as_images_in_parquet)

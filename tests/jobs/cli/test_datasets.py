"""What people have: CSV, compressed JSON and folders give the rows that the same items in JSONL give."""

import json
from pathlib import Path

import pytest

from jobs.ledger.ledger import Ledger
from tests.jobs.cli import datasets
from tests.jobs.cli.datasets import Write, brought, ran, rows_in, uploaded, votes, votes_of
from tests.jobs.conftest import CLASSES, QUESTION, ROWS, Corpus, Finished, read_jsonl, savs_submit

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

    ran(qwen2_vl, f"s3://{bucket}/results", train, data)

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

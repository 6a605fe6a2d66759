"""Every line of the table in docs/formats.md labels the corpus that it names."""

import gzip
import io
import json
import re
import shlex
import shutil
import tarfile
from pathlib import Path
from typing import Any

import pytest

from tests.docs.blocks import ROOT
from tests.jobs.cli import datasets
from tests.jobs.cli.datasets import rows_in
from tests.jobs.conftest import CLASSES, Corpus, make_corpus, read_jsonl, savs_submit, write_jsonl

PAGE = ROOT / "docs" / "formats.md"
LINES = re.findall(r"^\| ([^|]*) \| `(--train [^`]*)` \|$", PAGE.read_text(), re.M)

pytestmark = pytest.mark.docs


def write_everything(corpus: Corpus, folder: Path) -> None:
    """What the table names, all with the pictures of the corpus."""
    train, data = read_jsonl(corpus.train), read_jsonl(corpus.data)
    shutil.copytree(corpus.folder / "pictures", folder / "pictures")
    write_jsonl(folder / "train.jsonl", train)
    (folder / "corpus.json").write_text(json.dumps(data))
    (folder / "train.jsonl.gz").write_bytes(gzip.compress((folder / "train.jsonl").read_bytes()))
    Path(folder / datasets.as_zstd(folder, data)).rename(folder / "corpus.jsonl.zst")
    for name, rows in (("examples", train), ("all", data)):
        for row in rows:
            place = folder / "photos" / name / (row["label"] if name == "examples" else "")
            place.mkdir(parents=True, exist_ok=True)
            shutil.copy(folder / row["image"], place)
    for name, rows, columns, dialect in (
        ("train.csv", train, ("image", "label"), {}),
        ("corpus.tsv", data, ("image", "label"), {"delimiter": "\t"}),
        ("other.csv", train, ("picture", "what"), {}),
    ):
        (folder / name).write_text(datasets.table(rows, columns, **dialect), newline="")
    names = [*CLASSES]
    numbered = [row | {"label": str(names.index(row["label"]))} for row in train]
    (folder / "numbered.csv").write_text(datasets.table(numbered, ("image", "label")), newline="")
    (folder / "names.txt").write_text("\n".join(names) + "\n")
    write_tables(folder, train, data)
    for name, rows in (("train", train), ("corpus", data)):
        (folder / "imagefolder" / name).mkdir(parents=True)
        shutil.copytree(corpus.folder / "pictures", folder / "imagefolder" / name / "pictures")
        datasets.as_metadata(folder / "imagefolder" / name, rows)
        write_jsonl(folder / "splits" / name / "one.jsonl", absolute(folder, rows))
        write_jsonl(folder / "splits" / name / "two.jsonl", absolute(folder, rows))
    write_tar(folder / "train.tar", train, folder, labelled=True)
    (folder / "shards").mkdir()
    write_tar(folder / "shards" / "000.tar", train[:12], folder)
    write_tar(folder / "shards" / "001.tar", train[12:], folder)
    keys = "".join(f"{Path(row['image']).stem},{row['label']}\n" for row in train)
    (folder / "labels.csv").write_text(f"__key__,label\n{keys}")


def absolute(folder: Path, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    (folder / "splits" / "train").mkdir(parents=True, exist_ok=True)
    (folder / "splits" / "corpus").mkdir(parents=True, exist_ok=True)
    return [row | {"image": str(folder / row["image"])} for row in rows]


def write_tables(folder: Path, train: list[dict[str, Any]], data: list[dict[str, Any]]) -> None:
    for name, rows in (("train", train), ("corpus", data)):
        place = folder / "tables" / name
        shutil.copytree(folder / "pictures", place / "pictures")
        datasets.as_saved(place, rows)
        (folder / "saved").mkdir(exist_ok=True)
        (place / "saved").rename(folder / "saved" / name)
    shutil.copytree(folder / "pictures", folder / "tables" / "pictures")
    datasets.as_images_in_parquet(folder / "tables", train)
    (folder / "tables" / "data.parquet").rename(folder / "train.parquet")
    (folder / "parts").mkdir()
    datasets.as_parquet(folder / "parts", [row | {"image": f"../{row['image']}"} for row in data])


def write_tar(path: Path, rows: list[dict[str, Any]], folder: Path, labelled: bool = False) -> None:
    with tarfile.open(path, "w") as tar:
        for row in rows:
            stem = Path(row["image"]).stem
            members = {f"{stem}.png": (folder / row["image"]).read_bytes()}
            if labelled:
                members[f"{stem}.cls"] = row["label"].encode()
            for name, content in members.items():
                entry = tarfile.TarInfo(name)
                entry.size = len(content)
                tar.addfile(entry, io.BytesIO(content))


@pytest.fixture(scope="module")
def everything(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("page")
    write_everything(make_corpus(tmp_path_factory.mktemp("corpus") / "shapes"), folder)
    return folder


@pytest.mark.parametrize("arguments", [line for _, line in LINES], ids=[name for name, _ in LINES])
def test_the_line_labels_every_item(
    everything: Path, qwen2_vl: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: str
) -> None:
    monkeypatch.chdir(everything)
    workspace = tmp_path / "results"

    result = savs_submit(
        *("run", "--model", qwen2_vl, "--name", "page", "--workspace", workspace, "--readout", "ridge"),
        *shlex.split(arguments),
    )

    assert result.exit_code == 0, result.output
    if "splits" not in arguments:
        rows = rows_in(workspace)
        assert len(rows) in (24, 40) and {row["prediction"] for row in rows} <= set(CLASSES)


def test_the_table_has_a_line_for_everything() -> None:
    assert len(LINES) == 12

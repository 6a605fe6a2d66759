"""What the reader of each page has in the folder where the page's commands are typed."""

import json
from pathlib import Path

from jobs.ledger.ledger import Ledger
from jobs.records.message import gpu_queue
from savs.demo.corpus import write_corpus
from savs.storage import open_store
from tests.docs.drawn import ITEMS, STROKE, copy, drawn, rows, write_jsonl, write_tar
from tests.jobs.conftest import savs_submit


def readme(folder: Path, stock: Path) -> None:
    """Photos, the examples in a folder per class."""
    examples, corpus = drawn(stock)
    copy(examples, folder / "photos" / "examples", by_class=True)
    copy(corpus, folder / "photos" / "all")


def tasks(folder: Path, stock: Path) -> None:
    """Three tasks on the same media."""
    train_and_corpus(folder, stock)
    examples, _ = drawn(stock)
    for number, name in enumerate(("pan", "tilt", "zoom")):
        asked = {"question": f"Does the camera {name}?"}
        answers = [
            row | asked | {"label": "Yes" if row["label"] == STROKE.classes[number] else "No"}
            for row in rows(examples, "images")
        ]
        write_jsonl(folder / f"{name}.jsonl", answers)


def pool(folder: Path, stock: Path) -> None:
    """What `make demo` has drawn."""
    write_corpus(folder / "demo-run" / "stroke", STROKE, ITEMS)


def train_and_corpus(folder: Path, stock: Path) -> None:
    """`train.jsonl` and `corpus.jsonl`, with their pictures in images/."""
    examples, corpus = drawn(stock)
    copy(examples + corpus, folder / "images")
    write_jsonl(folder / "train.jsonl", rows(examples, "images"))
    write_jsonl(folder / "corpus.jsonl", rows(corpus, "images"))


def rated(folder: Path, stock: Path) -> None:
    """A corpus, and a workspace in which a rate was measured: one with which the corpus takes hours."""
    train_and_corpus(folder, stock)
    Ledger(str(folder / "results")).write_rates(gpu_queue("demo"), {"image": 0.001})


def formats(folder: Path, stock: Path) -> None:
    """The authors' EuroSAT and BLINK files, whose media are in a bucket, and tars here and there."""
    examples, corpus = drawn(stock)
    theirs = "/datasets/eurosat_2024-01-10_1812"
    (folder / "train.json").write_text(json.dumps(rows(examples, theirs)))
    (folder / "test.json").write_text(json.dumps(rows(corpus, theirs)))
    numbers = {label: number for number, label in enumerate(STROKE.classes)}
    write_tar(folder / "shots.tar", examples, numbers)
    (folder / "classes.txt").write_text("".join(f"{label}\n" for label in STROKE.classes))
    for part, pictures in (("train", examples), ("test", corpus)):
        for split in ("Counting", "Jigsaw"):
            lines = [
                {"image_1": row.pop("image"), "image_2": None, **row} for row in rows(pictures, "images")
            ]
            write_jsonl(folder / "blink" / part / f"{split}.jsonl", lines)
    remote = folder / ".bucket"
    copy(examples + corpus, remote / "eurosat")
    copy(examples + corpus, remote / "blink" / "images")
    write_tar(remote / "shards" / "000.tar", corpus[: ITEMS // 2])
    write_tar(remote / "shards" / "001.tar", corpus[ITEMS // 2 :])
    bucket = open_store("s3://bucket")
    for file in sorted(remote.rglob("*")):
        if file.is_file():
            bucket.write(str(file.relative_to(remote)), file.read_bytes())


def exports(folder: Path, stock: Path) -> None:
    """A corpus that was labelled with --keep-vectors all, and corrections of it, also from Label Studio."""
    train_and_corpus(folder, stock)
    run = ["run", "--train", folder / "train.jsonl", "--data", folder / "corpus.jsonl", "--model", "demo"]
    run += ["--name", "pets", "--workspace", folder / "results", "--keep-vectors", "all", "--report"]
    result = savs_submit(*run)
    assert result.exit_code == 0, result.output
    tasks = [
        {"data": {"index": index}, "annotations": [{"result": [{"value": {"choices": [one.label]}}]}]}
        for index, one in enumerate(drawn(stock)[1][:6])
    ]
    (folder / "corrected.json").write_text(json.dumps(tasks))
    corrections = [{"index": index, "label": one.label} for index, one in enumerate(drawn(stock)[1][:6])]
    write_jsonl(folder / "corrections.jsonl", corrections)


def report(folder: Path, stock: Path) -> None:
    """A corpus that was labelled, also zero-shot."""
    exports(folder, stock)
    asked = ["classify", "--zero-shot", "constrained", "--data", folder / "corpus.jsonl", "--model", "demo"]
    result = savs_submit(*asked, "--name", "pets-zero-shot", "--workspace", folder / "results")
    assert result.exit_code == 0, result.output


def empty(folder: Path, stock: Path) -> None:
    """Nothing: the page itself makes what it needs."""

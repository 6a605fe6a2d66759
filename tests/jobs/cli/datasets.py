"""The shared corpus in the forms in which people have theirs."""

import csv
import gzip
import io
import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from jobs.ledger.ledger import Ledger
from jobs.ledger.results import result_rows
from savs.storage import s3_client
from tests.jobs.conftest import HEADS, QUESTION, Corpus, Finished, read_jsonl, savs_submit

Rows = list[dict[str, Any]]
Write = Callable[[Path, Rows], str]  # writes rows into a folder; returns the name of the dataset in it


def table(rows: Rows, names: Sequence[str], **dialect: Any) -> str:
    text = io.StringIO(newline="")
    writer = csv.writer(text, **dialect)
    writer.writerow(names)
    for number, row in enumerate(rows):
        note = f'a "quoted", note;\nof line {number}'
        writer.writerow([row["image"], row.get("label", ""), note][: len(names)])
    return text.getvalue()


def as_csv(folder: Path, rows: Rows) -> str:
    (folder / "rows.csv").write_bytes(b"\xef\xbb\xbf" + table(rows, ("path", "class", "note")).encode())
    return "rows.csv"


def as_tsv(folder: Path, rows: Rows) -> str:
    text = table(rows, ("File_Name", "Category"), delimiter="\t")
    (folder / "rows.tsv").write_bytes(text.encode("utf-16"))
    return "rows.tsv"


def as_gzip(folder: Path, rows: Rows) -> str:
    (folder / "rows.jsonl.gz").write_bytes(gzip.compress(_lines(rows)))
    return "rows.jsonl.gz"


def as_zstd(folder: Path, rows: Rows) -> str:
    import pyarrow

    with pyarrow.output_stream(str(folder / "rows.zst"), compression="zstd") as stream:
        stream.write(_lines(rows))
    return "rows.zst"


def as_metadata(folder: Path, rows: Rows) -> str:
    """A folder as Hugging Face's ImageFolder reads it."""
    shown = [{"file_name": row["image"]} | {k: row[k] for k in ("label",) if k in row} for row in rows]
    (folder / "metadata.jsonl").write_bytes(_lines(shown))
    return ""


def as_folder(folder: Path, rows: Rows) -> str:
    """A folder of pictures, in one per class if all have a label; in the order of the rows."""
    labelled = all("label" in row for row in rows)
    for number, row in enumerate(rows):
        place = folder / "photos" / (row["label"] if labelled else "all")
        place.mkdir(parents=True, exist_ok=True)
        shutil.copy(folder / row["image"], place / f"{number:04d}.png")
    (folder / "photos" / ".DS_Store").write_bytes(b"x")
    (folder / "photos" / "notes.txt").write_bytes(b"x")
    return "photos"


def as_parquet(folder: Path, rows: Rows) -> str:
    """Paths and labels, in two files."""
    import pyarrow
    from pyarrow import parquet

    half = len(rows) // 2
    for number, part in enumerate((rows[:half], rows[half:])):
        found = {"path": [row["image"] for row in part], "category": [row.get("label") for row in part]}
        found["weight"] = [1.5] * len(part)
        parquet.write_table(pyarrow.table(found), folder / f"part-{number}.parquet")
    return "part-{0..1}.parquet"


def as_images_in_parquet(folder: Path, rows: Rows) -> str:
    """Bytes and numbered labels, as Hugging Face's `datasets` stores them, in small groups of rows."""
    from pyarrow import parquet

    parquet.write_table(_with_images(folder, rows), folder / "data.parquet", row_group_size=7)
    shutil.rmtree(folder / "pictures")
    return "data.parquet"


def as_saved(folder: Path, rows: Rows) -> str:
    """As `save_to_disk` writes it."""
    from pyarrow import ipc

    (folder / "saved").mkdir()
    found = _with_images(folder, rows)
    with ipc.new_stream(str(folder / "saved" / "data-00000-of-00001.arrow"), found.schema) as stream:
        stream.write_table(found, max_chunksize=9)
    state = {"_data_files": [{"filename": "data-00000-of-00001.arrow"}], "_split": "train"}
    (folder / "saved" / "state.json").write_text(json.dumps(state))
    (folder / "saved" / "dataset_info.json").write_text("{}")
    shutil.rmtree(folder / "pictures")
    return "saved"


def _with_images(folder: Path, rows: Rows) -> Any:
    import pyarrow

    names = ["star", "square", "circle"]
    features = {
        "image": {"_type": "Image"},
        "label": {"names": names, "_type": "ClassLabel"},
        "question": {"dtype": "string", "_type": "Value"},
    }
    said = {"huggingface": json.dumps({"info": {"features": features}})}
    images = [{"bytes": (folder / row["image"]).read_bytes(), "path": row["image"]} for row in rows]
    labels = [names.index(row["label"]) if "label" in row else None for row in rows]
    types = pyarrow.schema(
        [
            ("image", pyarrow.struct([("bytes", pyarrow.binary()), ("path", pyarrow.string())])),
            ("label", pyarrow.int64()),
            ("question", pyarrow.string()),
        ],
        metadata=said,
    )
    columns = {"image": images, "label": labels, "question": [row["question"] for row in rows]}
    return pyarrow.table(columns, schema=types)


def _lines(rows: Rows) -> bytes:
    return b"".join(json.dumps(row).encode() + b"\n" for row in rows)


def brought(corpus: Corpus, write: Write, folder: Path, part: str) -> Path | str:
    """The address of a part of the corpus, "train" or "corpus", in the form of `write`, in `folder`."""
    rows = read_jsonl(corpus.train if part == "train" else corpus.data)
    shutil.copytree(corpus.folder / "pictures", folder / part / "pictures")
    name = write(folder / part, rows)
    return folder / part / name if name else folder / part


def uploaded(server: str, bucket: str, folder: Path) -> None:
    """Puts a folder's files into the bucket, under their paths in it."""
    client = s3_client(server)
    for file in sorted(folder.rglob("*")):
        if file.is_file():
            client.put_object(Bucket=bucket, Key=str(file.relative_to(folder)), Body=file.read_bytes())


def ran(model: Path, workspace: object, train: object, data: object, *more: object, code: int = 0) -> Any:
    """What a run prints, on these datasets."""
    result = savs_submit(
        *("run", "--train", train, "--data", data, "--name", "shapes", "--model", model),
        *("--workspace", workspace, "--heads", HEADS, "--readout", "reference", "--shard-size", 4),
        *("--batch-tokens", 200, "--question", QUESTION, *more),
    )
    assert result.exit_code == code, result.output
    return result


def rows_in(workspace: object) -> Rows:
    ledger = Ledger(str(workspace))
    [job] = [job for job in ledger.jobs() if job.spec.kind == "classify"]
    return [json.loads(row) for row in result_rows(ledger, job.job_id)]


def votes(rows: Rows) -> list[Any]:
    return [(row["prediction"], row["votes"], row.get("label")) for row in rows]


def votes_of(calm: Finished) -> list[Any]:
    return votes([json.loads(line) for line in calm.rows.splitlines()])

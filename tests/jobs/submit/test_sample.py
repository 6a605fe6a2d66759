"""The rows of a pilot: drawn evenly from a manifest of any shape, and the manifest's own."""

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from jobs.ledger.ledger import Ledger
from jobs.ledger.pilots import sample_rows
from jobs.plans.planner import plan_manifest
from jobs.records.job import PilotSpec, job_id
from jobs.records.plan import Plan
from jobs.submit.sample import SHARD_ROWS, plan_pilot
from jobs.submit.submission import make_source
from savs.data.rows import Line
from tests.jobs.conftest import QUESTION, Corpus, savs_submit

ROWS = 1003
WANTED = 90


def texts(count: int = ROWS) -> list[bytes]:
    return [
        json.dumps({"question": f"What is {i}?", "question_id": f"row-{i}"}).encode() for i in range(count)
    ]


def drawn(manifest: Path, rows: int = WANTED, seed: int = 0, shard_size: int | None = None) -> list[Line]:
    """The rows of a pilot of `manifest`, as its shards read them back from a workspace."""
    spec = PilotSpec(
        name="pets",
        model="demo",
        data=make_source(str(manifest), "--data"),
        artifact="/a",
        rows=rows,
        seed=seed,
        shard_size=shard_size,
    )
    plan, sample = plan_pilot(spec, plan_manifest(str(manifest), 100, labelled=False))
    ledger, job = Ledger(str(manifest.parent / "results")), job_id(spec)
    ledger.store.write(f"jobs/{job}/sample.jsonl", sample)
    assert Plan.from_json(plan.to_json(), "shards.json") == plan
    shards = [plan.shard(number) for number in range(len(plan))]
    assert all(shard.rows <= (shard_size or SHARD_ROWS) for shard in shards)
    found = [sample_rows(ledger, job, shard) for shard in shards]
    assert [len(lines) for lines in found] == [shard.rows for shard in shards]
    return [line for lines in found for line in lines]


def written(folder: Path, data: bytes) -> Path:
    (folder / "corpus.jsonl").write_bytes(data)
    return folder / "corpus.jsonl"


def test_rows_are_distinct_in_order_and_evenly_spread(tmp_path: Path) -> None:
    found = [line.index for line in drawn(written(tmp_path, b"\n".join(texts())))]

    assert len(found) == WANTED and found == sorted(set(found))
    steps = {after - before for before, after in pairwise(found)}
    assert steps == {ROWS // WANTED, ROWS // WANTED + 1}
    assert found[0] <= ROWS / WANTED and found[-1] >= ROWS - 1 - ROWS / WANTED


def test_the_same_seed_draws_the_same_rows_and_another_one_others(tmp_path: Path) -> None:
    manifest = written(tmp_path, b"\n".join(texts()))

    assert drawn(manifest) == drawn(manifest) != drawn(manifest, seed=1)
    # however they are cut into shards
    assert drawn(manifest, shard_size=7) == drawn(manifest)


@pytest.mark.parametrize("rows", [1, WANTED, 800])
def test_a_corpus_with_fewer_rows_than_asked_for_is_drawn_whole(tmp_path: Path, rows: int) -> None:
    manifest = written(tmp_path, b"\n".join(texts(rows)))

    assert [line.index for line in drawn(manifest, rows=800)] == list(range(rows))


SHAPES: dict[str, Any] = {
    "lines": lambda rows: b"\n".join(rows),
    "lines that end": lambda rows: b"".join(row + b"\n" for row in rows),
    "windows": lambda rows: b"".join(row + b"\r\n" for row in rows),
    "blank lines": lambda rows: (
        b"\n\n" + b"".join(row + b"\n" + b"  \n" * (n % 3) for n, row in enumerate(rows))
    ),
    "a byte order mark": lambda rows: b"\xef\xbb\xbf" + b"\n".join(rows),
    "a list": lambda rows: b"[" + b", ".join(rows) + b"]",
    "a list over lines": lambda rows: b"[\n" + b",\n".join(b"  " + row for row in rows) + b"\n]\n",
    "not utf-8": lambda rows: b"\n".join(
        row.replace(b"What", b"Wh\xe4t\xff") if n % 3 else row for n, row in enumerate(rows)
    ),
    "unusable rows": lambda rows: b"\n".join(row if n % 4 else b'{"image": 5' for n, row in enumerate(rows)),
}


@pytest.mark.parametrize("shape", SHAPES)
def test_drawn_rows_are_the_manifests_rows_with_its_index_and_line(tmp_path: Path, shape: str) -> None:
    data = SHAPES[shape](texts(300))
    manifest = written(tmp_path, data)

    found = drawn(manifest)

    assert len(found) == WANTED
    lines = data.removeprefix(b"\xef\xbb\xbf").split(b"\n")
    for line in found:
        row = line.data.strip()
        assert row and row in lines[line.number - 1]
        if not row.endswith(b": 5"):
            assert b'row-%d"' % line.index in row


def test_an_error_of_a_drawn_row_names_its_line_in_the_corpus(
    corpus: Corpus, qwen2_vl: Path, tmp_path: Path
) -> None:
    rows = [b'{"question": "%s", "question_id": "row-%d"}' % (QUESTION.encode(), i) for i in range(9)]
    rows[6] = b'{"question": "\xff\xfe", "image": '
    manifest = written(tmp_path, b"\n\n".join(rows))

    result = savs_submit(
        *("run", "--train", corpus.train, "--data", manifest, "--name", "shapes", "--model", qwen2_vl),
        *("--workspace", tmp_path / "results", "--json"),
    )

    assert result.exit_code == 3, result.output
    _, pilot, classify = json.loads(result.stdout)
    assert (pilot["rows"], pilot["failed"]) == (classify["rows"], classify["failed"]) == (9, 1)
    for summary in (pilot, classify):
        [example] = summary["errors"]["bad_row"]["examples"]
        assert example["index"] == 6 and f"{manifest}:13: " in example["message"]

"""Reading from S3 while connections break: the same bytes, or a typed error, never others."""

import json
from pathlib import Path

import pytest

from jobs.plans.planner import plan_manifest
from jobs.records.job import Source
from jobs.shards.rows import read_shard_rows
from jobs.submit.submission import make_source, plan_job
from savs.errors import Changed, StorageError
from savs.storage import open_store
from tests.faulty_s3 import FaultyS3, first
from tests.jobs.ledgers import classify_job

ROWS = 20_000  # about 1.2 MB: more than a stream reads ahead
WHERE = "s3://corpus/data/rows.jsonl"


def manifest(rows: int = ROWS, word: str = "a") -> bytes:
    return b"".join(
        json.dumps({"image": f"pictures/{word}/{i:06d}.png", "question": "What is it?"}).encode() + b"\n"
        for i in range(rows)
    )


def write(data: bytes) -> None:
    open_store("s3://corpus/data").write("rows.jsonl", data)


@pytest.mark.parametrize("times", [1, 3])
def test_a_body_that_is_cut_is_taken_up_where_it_broke(faulty: FaultyS3, times: int) -> None:
    write(manifest())
    calm = plan_manifest(WHERE, 1000, labelled=False)
    faulty.choose = first(times, "cut", "GET", "rows.jsonl")

    plan = plan_manifest(WHERE, 1000, labelled=False)

    assert [fault for *_, fault in faulty.seen].count("cut") == times
    assert plan == calm and len(plan) == 20


def test_a_shard_whose_rows_are_cut_gets_the_same_rows(faulty: FaultyS3, tmp_path: Path) -> None:
    from jobs.ledger.ledger import Ledger

    write(manifest())
    ledger = Ledger(str(tmp_path))
    job = classify_job()
    spec = job.spec.model_copy(update={"data": make_source(WHERE, "--data")})
    job = job.model_copy(update={"spec": spec})
    shard = plan_job(ledger, job)[0].shard(0)
    calm = read_shard_rows(ledger, job, shard, None).entries
    faulty.choose = first(2, "cut", "GET", "rows.jsonl")

    again = read_shard_rows(ledger, job, shard, None).entries

    assert again == calm and len(calm) == shard.rows
    assert [fault for *_, fault in faulty.seen].count("cut") == 2


def test_an_object_that_changes_while_it_is_read_is_a_typed_error(faulty: FaultyS3) -> None:
    write(manifest(word="a"))
    opened = 0

    def choose(method: str, path: str) -> str | None:
        nonlocal opened
        if method != "GET" or "rows.jsonl" not in path:
            return None
        opened += 1
        if opened == 2:
            write(manifest(word="b"))
        return "cut" if opened == 1 else None

    faulty.choose = choose

    with pytest.raises(Changed, match=r"s3://corpus/data/rows\.jsonl has changed"):
        plan_manifest(WHERE, 1000, labelled=False)


def test_data_that_changed_after_it_was_submitted_is_not_planned(faulty: FaultyS3, tmp_path: Path) -> None:
    from jobs.ledger.ledger import Ledger

    write(manifest(10))
    job = classify_job()
    source: Source = make_source(WHERE, "--data")
    job = job.model_copy(update={"spec": job.spec.model_copy(update={"data": source})})
    write(manifest(11))

    with pytest.raises(Changed, match="submit it again"):
        plan_job(Ledger(str(tmp_path)), job)


def test_a_body_that_is_always_cut_is_a_storage_error_in_the_end(faulty: FaultyS3) -> None:
    write(manifest())
    faulty.choose = lambda method, path: "cut" if method == "GET" else None

    with pytest.raises(StorageError, match=r"s3://corpus/data/rows\.jsonl"):
        open_store("s3://corpus/data").read("rows.jsonl")
    assert [fault for *_, fault in faulty.seen].count("cut") < 20


@pytest.mark.parametrize("data", [b"", b"x", b"0123456789" * 200_000])
def test_whole_ranged_and_empty_objects_are_read_as_they_are(faulty: FaultyS3, data: bytes) -> None:
    store = open_store("s3://corpus/data")
    store.write("some", data)

    assert store.read("some") == data
    assert store.size("some") == len(data)
    for offset, length in ((0, 1), (0, len(data)), (len(data) // 2, 7), (3, 0)):
        if offset < len(data) or length == 0:
            assert store.read_range("some", offset, length, store.etag("some")) == data[offset:][:length]

"""Fault 12: S3 answers 503 and 409, resets connections, loses answers and comes late."""

import json
from pathlib import Path

import pytest

import savs.storage.s3
from jobs.ledger.ledger import Ledger
from jobs.ledger.results import result_rows
from jobs.records.outcome import Counts, Outcome
from savs.storage import S3Store, open_store, s3_client
from tests.faulty_s3 import LATE, FaultyS3, first, now_and_then
from tests.pool.servers import Pool, RedisServer, wait_until


@pytest.mark.parametrize("fault", ["503", "409", "reset before", "reset after", "late"])
def test_fault_12_a_commit_that_meets_a_fault_is_there_once_and_its_own(faulty: FaultyS3, fault: str) -> None:
    ledger = Ledger("s3://corpus/work")
    ledger.store.write("jobs/job/job.json", b"{}")
    outcome = Outcome(shard=3, status="done", attempt="mine", counts=Counts(rows=1, labelled=1))
    faulty.choose = first(2, fault, "PUT", "commits/")

    counted = ledger.commit("job", outcome)

    assert fault in [f for *_, f in faulty.seen]
    assert counted == outcome
    assert list(ledger.outcomes("job")) == [outcome]


def test_fault_12_a_commit_that_succeeded_and_timed_out_is_the_attempts_own(
    faulty: FaultyS3, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given a client that waits less long than an answer takes, after the server has done its work
    monkeypatch.setattr(savs.storage.s3, "S3_TIMEOUT", LATE / 4)
    s3_client.cache_clear()
    ledger = Ledger("s3://corpus/work")
    ledger.store.write("jobs/job/job.json", b"{}")
    outcome = Outcome(shard=3, status="done", attempt="mine", counts=Counts(rows=1, labelled=1))
    faulty.choose = first(1, "late", "PUT", "commits/")

    # when the commit is asked for again by boto3, and refused
    counted = ledger.commit("job", outcome)

    # then it is known to be there, and whose it is
    assert [fault for method, path, fault in faulty.seen if method == "PUT" and "commits/" in path] == [
        "late",
        None,
    ]
    assert counted == outcome
    assert list(ledger.outcomes("job")) == [outcome]


def test_fault_12_a_lost_answer_does_not_make_a_second_attempt_win(faulty: FaultyS3) -> None:
    ledger = Ledger("s3://corpus/work")
    ledger.store.write("jobs/job/job.json", b"{}")
    theirs = Outcome(shard=3, status="done", attempt="theirs")
    ledger.commit("job", theirs)
    faulty.choose = first(1, "reset after", "PUT", "commits/")

    counted = ledger.commit("job", Outcome(shard=3, status="done", attempt="mine"))

    assert counted == theirs


@pytest.mark.parametrize("fault", ["503", "reset before", "reset after", "late"])
def test_fault_12_a_read_that_meets_a_fault_gives_the_whole_object(faulty: FaultyS3, fault: str) -> None:
    store = open_store("s3://corpus/data")
    store.write("a.jsonl", b"0123456789" * 1000)
    faulty.choose = first(2, fault, "GET", "a.jsonl")

    assert store.read("a.jsonl") == b"0123456789" * 1000
    assert store.read_range("a.jsonl", 5, 10, store.etag("a.jsonl")) == b"5678901234"


def test_fault_12_a_pool_on_an_s3_that_fails_now_and_then_ends_with_the_right_rows(
    faulty: FaultyS3, redis_server: RedisServer, tmp_path: Path
) -> None:
    # given a workspace and manifests on S3, and one request in ten that fails
    logs = tmp_path / "logs"
    logs.mkdir()
    pool = Pool(redis_server, tmp_path / "unused", logs, "s3://corpus/workspace")
    faulty.choose = now_and_then(0.1, seed=12)
    try:
        pool.start("cpu")
        pool.start("gpu")
        pool.start("gpu")

        # when two jobs run
        [_, classify] = pool.submit(rows=60, shard_size=10, folder="s3://corpus/manifests")
        wait_until(lambda: pool.finished(classify), "the classify job has a summary", patience=120)

        # then every row is there once, and faults there were
        found = [json.loads(line) for line in result_rows(pool.ledger, classify.job_id)]
        assert [row["index"] for row in found] == list(range(60))
        assert pool.ledger.summary(classify.job_id)["labelled"] == 60
        assert len([f for *_, f in faulty.seen if f]) >= 10
    finally:
        pool.stop()


def test_an_s3_client_is_made_once_per_endpoint(bucket: str, s3_server: str) -> None:
    assert S3Store("corpus", "a").client is S3Store("corpus", "b").client is s3_client(s3_server)

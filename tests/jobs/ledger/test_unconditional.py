"""A store that ignores conditional writes: works, with a warning, and is never cleaned up."""

import json
from pathlib import Path

import pytest

from jobs.ledger.ledger import Ledger
from jobs.ledger.results import result_rows
from jobs.records.outcome import Outcome
from jobs.records.retries import Retry
from jobs.shards.shard import give_up
from jobs.submit.retry import retry_job
from savs.errors import LedgerError
from savs.storage import open_store
from tests.faulty_s3 import FaultyS3
from tests.jobs.conftest import Corpus, Finished, run_arguments, savs_submit
from tests.jobs.ledgers import classify_job, plan_of, row, source_in, summary_of, write_outcome

WORKSPACE = "s3://corpus/work"


@pytest.fixture(params=["unconditional", "501"])
def careless(faulty: FaultyS3, request: pytest.FixtureRequest) -> FaultyS3:
    """A store that does not hear of `If-None-Match`, or one that says it cannot."""
    faulty.choose = lambda method, path: request.param if method == "PUT" else None
    return faulty


def test_such_a_store_is_noticed_and_the_trial_leaves_nothing(careless: FaultyS3) -> None:
    assert not open_store(WORKSPACE).honours_conditions()
    assert list(open_store(WORKSPACE).list("")) == []
    careless.choose = lambda method, path: None
    assert open_store(WORKSPACE).honours_conditions()
    assert list(open_store(WORKSPACE).list("")) == []


def test_a_run_works_with_a_warning_and_parts_of_fixed_names(
    careless: FaultyS3, corpus: Corpus, qwen2_vl: Path, calm: Finished
) -> None:
    arguments = run_arguments(corpus, qwen2_vl, Path("unused"), shard_size=20)
    arguments[arguments.index("unused")] = WORKSPACE

    said = savs_submit(*arguments, "--json")

    assert said.exit_code == 0, said.output
    assert f"{WORKSPACE} ignores conditional writes" in said.stderr
    first, second = json.loads(said.stdout)
    ledger = Ledger(WORKSPACE)
    assert b"".join(result_rows(ledger, second["job_id"])) == calm.rows
    parts = [key.rpartition("/")[2] for key in ledger.store.list("jobs") if "/parts/" in key]
    assert sorted(parts) == [
        *("0000000.jsonl", "0000000.safetensors", "0000001.jsonl", "0000001.safetensors")
    ]
    # and the same command again joins the jobs that are there
    before = {key: ledger.store.read(key) for key in ledger.store.list("jobs")}
    assert json.loads(savs_submit(*arguments, "--json").stdout) == [first, second]
    after = {key: ledger.store.read(key) for key in ledger.store.list("jobs")}
    without = {key for key in before if not key.endswith("summary.json")}
    assert before.keys() == after.keys() and all(before[key] == after[key] for key in without)


def test_no_orphans_are_deleted(careless: FaultyS3) -> None:
    ledger = Ledger(WORKSPACE)
    job = ledger.create_job(classify_job(), plan_of(2))
    write_outcome(ledger, job, 0, [row(0, "cat"), row(1, "dog")])
    ledger.store.write(f"jobs/{job.job_id}/parts/0000000-abc.jsonl", b"other\n")

    said = savs_submit("delete", "pets", "--orphans", "--workspace", WORKSPACE)

    assert said.exit_code == 0 and "0 orphans deleted" in said.stdout
    assert ledger.store.exists(f"jobs/{job.job_id}/parts/0000000-abc.jsonl")


def test_the_last_outcome_counts_but_giving_up_never_replaces_one(careless: FaultyS3) -> None:
    ledger = Ledger(WORKSPACE)
    job = ledger.create_job(classify_job(), plan_of(2))
    write_outcome(ledger, job, 0, [row(0, "cat"), row(1, "dog")])
    last = write_outcome(ledger, job, 0, [row(0, "cat"), row(1, "cat")])

    counted = give_up(ledger, job, ledger.planned(job.job_id).shard(0), "no sign of life")

    assert counted == last and list(ledger.outcomes(job.job_id)) == [last]
    # and an attempt that ends after the shard was given up counts
    again = Outcome(shard=1, status="done", attempt="late")
    ledger.commit(job.job_id, Outcome(shard=1, status="failed", attempt="none"))
    assert ledger.commit(job.job_id, again) == again == ledger.outcome(job.job_id, 1)


def test_submitting_later_changes_nothing_of_the_job_that_is_there(careless: FaultyS3) -> None:
    ledger = Ledger(WORKSPACE)
    first = ledger.create_job(classify_job(), plan_of(2))

    assert ledger.create_job(classify_job(minute=5), plan_of(1, 1)) == first
    assert len(ledger.planned(first.job_id)) == 1


def test_a_retry_is_planned_once(careless: FaultyS3, tmp_path: Path) -> None:
    ledger = Ledger(WORKSPACE)
    job = ledger.create_job(classify_job(source=source_in(tmp_path)), plan_of(2))
    write_outcome(ledger, job, 0, [row(0, "cat"), row(1, None, error="missing_media")])
    ledger.write_summary(job.job_id, summary_of(job))
    assert retry_job(ledger, job, dead_only=False) == 1
    [planned] = ledger.planned(job.job_id).retries

    with pytest.raises(LedgerError, match="is being retried by another process"):
        ledger.create_retry(job.job_id, Retry(number=0, first=1, shards=planned.shards))


def test_doctor_says_so(careless: FaultyS3) -> None:
    said = savs_submit("doctor", "--workspace", WORKSPACE)

    assert said.exit_code == 0
    assert "WARN conditional writes: ignored by this store" in said.stdout

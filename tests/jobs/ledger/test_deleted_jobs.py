"""A job that is deleted while an attempt runs stays deleted, and starts clean if it is submitted again."""

from pathlib import Path

import pytest

from jobs.ledger.ledger import Ledger
from jobs.records.job import Job
from jobs.records.outcome import Outcome
from jobs.reduce.status import job_state
from jobs.shards.shard import give_up
from savs.errors import JobNotFound
from savs.storage import LocalStore
from tests.jobs.ledgers import classify_job, plan_of, row, summary_of, write_outcome


@pytest.fixture
def ledger(workspace: Path) -> Ledger:
    return Ledger(str(workspace))


@pytest.fixture
def job(ledger: Ledger) -> Job:
    return ledger.create_job(classify_job(), plan_of(2, 2))


def left(ledger: Ledger) -> list[str]:
    return list(ledger.store.list(""))


def test_an_attempt_that_ends_after_its_job_was_deleted_leaves_nothing(ledger: Ledger, job: Job) -> None:
    ledger.delete(job.job_id)

    with pytest.raises(JobNotFound, match="was deleted while its shard 0 was running"):
        write_outcome(ledger, job, 0, [row(0, "cat"), row(1, "dog")])
    with pytest.raises(JobNotFound):
        give_up(ledger, job, plan_of(2, 2).shard(1), "it died")

    assert left(ledger) == [] and ledger.job_ids() == []


def test_a_commit_that_is_written_while_its_job_is_deleted_is_removed_again(ledger: Ledger, job: Job) -> None:
    class Deleting(LocalStore):
        """A store in which the job is deleted just before its first commit is written."""

        def create(self, key: str, data: bytes) -> bool:
            if "/commits/" in key:
                Ledger(ledger.workspace).delete(job.job_id)
            return super().create(key, data)

    ledger.store = Deleting(Path(ledger.workspace), [ledger.workspace])

    with pytest.raises(JobNotFound):
        ledger.commit(job.job_id, Outcome(shard=0, status="failed", attempt="none", reason="it died"))

    assert left(ledger) == []


def test_a_job_that_is_submitted_again_starts_clean(ledger: Ledger, job: Job) -> None:
    # given what workers of the deleted job wrote late
    write_outcome(ledger, job, 0, [row(0, "cat"), row(1, "dog")])
    ledger.write_summary(job.job_id, summary_of(job))
    ledger.judge(job.job_id, {"rows": 2, "failed": 0})
    ledger.cancel(job.job_id)
    ledger.store.delete(f"jobs/{job.job_id}/job.json")

    again = ledger.create_job(classify_job(), plan_of(2, 2))

    assert sorted(key.rpartition("/")[2] for key in left(ledger)) == ["job.json", "shards.json"]
    state = job_state(ledger, again)
    assert (state["status"], state["shards_done"]) == ("interrupted", 0)


def test_submitting_a_job_that_exists_removes_nothing(ledger: Ledger, job: Job) -> None:
    write_outcome(ledger, job, 0, [row(0, "cat"), row(1, "dog")])
    before = left(ledger)

    ledger.create_job(classify_job(), plan_of(2, 2))

    assert left(ledger) == before

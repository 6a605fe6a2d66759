"""A job whose first rows mostly fail is stopped, with the reason, and only then."""

import json
from itertools import permutations
from pathlib import Path

import pytest

from jobs.ledger.ledger import Ledger
from jobs.records.job import Job
from jobs.records.outcome import Counts, Outcome
from jobs.reduce.brake import BRAKE_ROWS, apply_brake
from jobs.shards.shard import give_up
from tests.jobs.conftest import Finished, commits, one_job, savs_submit, write_jsonl
from tests.jobs.ledgers import classify_job, plan_of


def write_job(workspace: Path, *sizes: int, rate: float = 0.5) -> tuple[Ledger, Job]:
    ledger = Ledger(str(workspace))
    job = classify_job().model_copy(update={"max_failure_rate": rate})
    return ledger, ledger.create_job(job, plan_of(*sizes))


def end(ledger: Ledger, job: Job, shard: int, failed: int) -> bool:
    """Ends a shard with so many failed rows: whether that stops the job."""
    found = ledger.planned(job.job_id).shard(shard)
    counts = Counts(rows=found.rows, labelled=found.rows - failed, failed=failed)
    ledger.commit(job.job_id, Outcome(shard=shard, status="done", attempt="a", counts=counts))
    return apply_brake(ledger, job, found)


@pytest.mark.parametrize(
    ("failed", "rate", "stops"),
    [(500, 0.5, False), (501, 0.5, True), (0, 0.0, False), (1, 0.0, True), (1000, 1.0, False)],
)
def test_a_job_is_stopped_when_more_than_the_given_share_of_its_first_rows_failed(
    workspace: Path, failed: int, rate: float, stops: bool
) -> None:
    ledger, job = write_job(workspace, *[500] * 4, rate=rate)

    assert not end(ledger, job, 0, min(failed, 500))
    assert end(ledger, job, 1, max(failed - 500, 0)) is stops

    assert ledger.is_cancelled(job.job_id) is stops
    if stops:
        why = ledger.why_cancelled(job.job_id) or ""
        assert why.startswith(f"{failed} of its first 1000 rows failed, more than {rate:.0%}")
        assert "savs-submit logs pets shows why" in why


@pytest.mark.parametrize("order", list(permutations(range(4))))
def test_shards_may_end_in_any_order(workspace: Path, order: tuple[int, ...]) -> None:
    ledger, job = write_job(workspace, *[300] * 5)  # the fourth shard holds the thousandth row

    stopped = [end(ledger, job, shard, 200) for shard in order]

    assert stopped == [False, False, False, True]
    assert (ledger.why_cancelled(job.job_id) or "").startswith("800 of its first 1200 rows failed")


def test_rows_after_the_first_are_not_asked_about(workspace: Path) -> None:
    ledger, job = write_job(workspace, *[300] * 8)

    assert not any(end(ledger, job, shard, 300) for shard in (4, 5, 6, 7))
    assert not any(end(ledger, job, shard, 0) for shard in (0, 1, 2, 3))


@pytest.mark.parametrize("sizes", [(BRAKE_ROWS - 1,), (500, 499), (256, 256, 256, 231), (600, 399)])
def test_a_job_with_fewer_rows_is_never_judged(workspace: Path, sizes: tuple[int, ...]) -> None:
    ledger, job = write_job(workspace, *sizes)

    assert not any(end(ledger, job, shard, rows) for shard, rows in enumerate(sizes))
    assert not ledger.is_judged(job.job_id)


def test_shards_that_were_given_up_count_as_failed(workspace: Path) -> None:
    ledger, job = write_job(workspace, *[500] * 3)
    for shard in (0, 1):
        give_up(ledger, job, ledger.planned(job.job_id).shard(shard), "out of memory")

    assert apply_brake(ledger, job, ledger.planned(job.job_id).shard(1))


def test_who_resumes_has_the_last_word(workspace: Path) -> None:
    ledger, job = write_job(workspace, *[500] * 3)
    assert [end(ledger, job, shard, 500) for shard in (0, 1)] == [False, True]

    ledger.uncancel(job.job_id)

    assert not any(end(ledger, job, shard, 500) for shard in (0, 1, 2))
    assert not ledger.is_cancelled(job.job_id)


def test_a_run_of_a_corpus_without_pictures_is_stopped_and_goes_on_when_resumed(
    calm: Finished, qwen2_vl: Path, workspace: Path, tmp_path: Path
) -> None:
    # given 1,500 rows whose pictures are nowhere
    data = write_jsonl(tmp_path / "lost.jsonl", [{"image": f"lost/{i}.png"} for i in range(1500)])
    artifact = calm.workspace / "artifacts" / "shapes" / calm.extract.job_id
    arguments = ["classify", "--data", data, "--artifact", artifact, "--model", qwen2_vl, "--name", "lost"]
    arguments += ["--workspace", workspace, "--shard-size", "250"]
    why = "1000 of its first 1000 rows failed, more than 50% (--max-failure-rate)"

    # if it is run
    said = savs_submit(*arguments)

    # then it stops after those that hold the first 1,000, and says why
    assert said.exit_code == 1 and why in said.stderr
    assert commits(workspace, "classify") == 4
    [state] = json.loads(savs_submit("status", "lost", "--workspace", workspace, "--json").stdout)
    assert (state["status"], state["shards_done"]) == ("cancelled", 4) and why in state["reason"]
    for command in (["status", "lost"], ["list"]):
        assert why in savs_submit(*command, "--workspace", workspace).stdout
    watched = savs_submit("watch", "lost", "--workspace", workspace)
    assert watched.exit_code == 1 and f"cancelled: {why}" in watched.stdout
    watched = savs_submit("watch", "lost", "--workspace", workspace, "--json")
    assert watched.exit_code == 1 and why in watched.stderr and json.loads(watched.stdout) == []

    # and the same command again says so, and runs nothing
    again = savs_submit(*arguments)
    assert again.exit_code == 1 and f"was cancelled: {why}" in again.stderr
    assert commits(workspace, "classify") == 4

    # and resume goes on to the end
    assert savs_submit("resume", "lost", "--workspace", workspace).exit_code == 1
    assert commits(workspace, "classify") == 6
    summary = Ledger(str(workspace)).summary(one_job(workspace, "classify").job_id)
    assert (summary["status"], summary["failed"]) == ("failed", 1500)


def test_with_a_rate_of_one_such_a_run_goes_on(
    calm: Finished, qwen2_vl: Path, workspace: Path, tmp_path: Path
) -> None:
    data = write_jsonl(tmp_path / "lost.jsonl", [{"image": f"lost/{i}.png"} for i in range(1200)])
    artifact = calm.workspace / "artifacts" / "shapes" / calm.extract.job_id
    arguments = ["classify", "--data", data, "--artifact", artifact, "--model", qwen2_vl, "--name", "lost"]

    said = savs_submit(*arguments, "--workspace", workspace, "--shard-size", "250", "--max-failure-rate", "1")

    assert said.exit_code == 1 and commits(workspace, "classify") == 5
    assert "all of its 1200 rows failed (1200 missing_media)" in said.stdout.replace("\n", " ")
    assert commits(workspace, "classify") == 5


def test_a_job_that_a_person_cancelled_says_how_to_go_on(workspace: Path) -> None:
    write_job(workspace, 500, 500)
    assert savs_submit("cancel", "pets", "--workspace", workspace).exit_code == 0

    said = savs_submit("watch", "pets", "--workspace", workspace)

    assert said.exit_code == 1 and said.stdout.strip().endswith(": cancelled")


@pytest.mark.parametrize(
    ("option", "value", "problem"),
    [
        ("--max-failure-rate", "nan", "--max-failure-rate: "),
        ("--max-failure-rate", "1.5", "'--max-failure-rate'"),
        ("--note", "x" * 1001, "--note: "),
        ("--note", "\udcff", "--note: "),
    ],
)
def test_a_rate_or_a_note_that_cannot_be_used_is_wrong_usage(
    workspace: Path, tmp_path: Path, option: str, value: str, problem: str
) -> None:
    rows = [{"question": "What?", "label": label} for label in ("cat", "dog")]
    train = write_jsonl(tmp_path / "train.jsonl", rows)

    said = savs_submit(
        *("extract", "--train", train, "--model", "demo", "--name", "x", "--workspace", workspace),
        *(option, value),
    )

    assert said.exit_code == 2 and problem in said.stderr
    assert not workspace.exists()

"""Rows that abstain and rows with probabilities: what a job's summary and state say of them."""

from itertools import permutations
from pathlib import Path
from typing import Any

import pytest

from jobs.cli.output.jobs import print_jobs
from jobs.cli.output.summary import print_summary
from jobs.ledger.ledger import Ledger
from jobs.records.job import Job
from jobs.records.outcome import Counts
from jobs.records.row import ExampleRow
from jobs.reduce.reducer import reduce_job
from jobs.reduce.status import job_state
from jobs.run.local import exit_code
from jobs.run.watch import FollowedJob
from jobs.shards.result import counts_of
from tests.jobs.ledgers import classify_job, plan_of, probable, row, write_outcome

SURE, UNSURE = {"cat": 0.9, "dog": 0.1}, {"dog": 0.5, "cat": 0.4, "owl": 0.1}
SHARDS = [
    [probable(0, SURE, "cat"), probable(1, UNSURE, "cat", abstains=True)],
    [probable(2, UNSURE, "dog", abstains=True), row(3, None, "cat", error="missing_media")],
    [probable(4, SURE)],
]


def write_job(workspace: Path, *order: int) -> tuple[Ledger, Job]:
    ledger = Ledger(str(workspace))
    job = ledger.create_job(classify_job(), plan_of(2, 2, 1))
    for shard in order:
        write_outcome(ledger, job, shard, SHARDS[shard])
    return ledger, job


def reduced(ledger: Ledger, job: Job) -> dict[str, Any]:
    summary = reduce_job(ledger, job)
    assert summary is not None
    return summary


def test_a_row_without_a_prediction_is_abstained_unless_it_failed_or_is_an_example() -> None:
    example = ExampleRow(index=9, id="9", task="pets", label="cat")
    rows = [row for shard in SHARDS for row in shard]
    assert counts_of(rows) == Counts(rows=5, labelled=2, abstained=2, failed=1)
    assert counts_of([example]) == Counts(rows=1, labelled=1)


def test_rows_that_abstained_count_apart_and_by_their_likeliest_class_for_confidence(workspace: Path) -> None:
    summary = reduced(*write_job(workspace, 0, 1, 2))

    assert (summary["rows"], summary["labelled"], summary["abstained"], summary["failed"]) == (5, 2, 2, 1)
    assert summary["status"] == "done" and exit_code([summary | {"failed": 0}], 1) == 0
    assert summary["classes"] == {"cat": 2}
    # the accuracy is that of the one row with a label and a prediction
    assert (summary["scored"], summary["accuracy"]) == (1, 1.0)
    # and confidence is that of three: 0.9 and right, 0.5 twice and right once
    assert summary["ece"] == pytest.approx(0.1 / 3)
    assert [one["rows"] for one in summary["reliability"]] == [2, 1]
    assert summary["risk_coverage"][0] == {"coverage": 0.1, "rows": 1, "confidence": 0.9, "error": 0.0}
    assert summary["risk_coverage"][-1]["error"] == pytest.approx(1 / 3)
    assert summary["aurc"] == pytest.approx(2 / 3 * 1 / 3)
    # and shares are those of all four rows that did not fail
    shares = {name: (one["rows"], one["rate"]) for name, one in summary["class_shares"].items()}
    assert shares == {"cat": (4, 0.65), "dog": (4, 0.3), "owl": (4, 0.05)}


def test_shards_in_any_order_give_the_same_summary(workspace: Path) -> None:
    summaries = set()
    for order in permutations(range(3)):
        folder = workspace / "-".join(map(str, order))
        ledger, job = write_job(folder, *order)
        reduced(ledger, job)
        summaries.add((folder / "jobs" / job.job_id / "summary.json").read_bytes())
    assert len(summaries) == 1


def test_a_job_of_which_every_row_abstained_is_done_and_has_scores_of_confidence(
    workspace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ledger = Ledger(str(workspace))
    job = ledger.create_job(classify_job(), plan_of(1))
    write_outcome(ledger, job, 0, [probable(0, UNSURE, "dog", abstains=True)])

    summary = reduced(ledger, job)

    assert (summary["status"], summary["ece"]) == ("done", 0.5) and "accuracy" not in summary
    assert ledger.summary(job.job_id) is not None  # it can be read again
    print_summary(summary, "there")
    assert "1 row: 0 labelled, 1 abstained, 0 failed" in capsys.readouterr().out


def test_rows_without_confidence_or_probabilities_have_no_such_scores(workspace: Path) -> None:
    ledger = Ledger(str(workspace))
    job = ledger.create_job(classify_job(), plan_of(1))
    write_outcome(ledger, job, 0, [row(0, "cat", "cat").model_copy(update={"confidence": None})])

    fields = {"ece", "aurc", "reliability", "risk_coverage", "class_shares"}
    assert not fields & set(reduced(ledger, job))


def test_the_state_of_a_job_says_how_many_rows_abstained_if_any_did(
    workspace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ledger, job = write_job(workspace, 2)
    assert "abstained" not in job_state(ledger, job)
    write_outcome(ledger, job, 0, SHARDS[0])
    followed = FollowedJob(job)
    followed.look(ledger, 0.0, None)
    running = job_state(ledger, job)
    write_outcome(ledger, job, 1, SHARDS[1])
    reduced(ledger, job)
    ended = job_state(ledger, job)

    assert (running["abstained"], followed.state(None)["abstained"], ended["abstained"]) == (1, 1, 2)
    print_jobs([ended, {name: value for name, value in ended.items() if name != "abstained"}])
    head, first, second = (line.split() for line in capsys.readouterr().out.splitlines())
    at = head.index("abstained")
    assert (first[at], first[at + 1]) == ("2", "1") and (second[at], second[at + 1]) == ("0", "1")
    print_jobs([{name: value for name, value in ended.items() if name != "abstained"}])
    assert "abstained" not in capsys.readouterr().out

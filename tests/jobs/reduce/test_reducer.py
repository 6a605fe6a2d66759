"""A summary is a pure function of the ledger: counts, scores, errors and what is missing."""

from itertools import permutations
from pathlib import Path
from typing import Any

import pytest

from jobs.ledger.ledger import Ledger
from jobs.ledger.results import result_rows
from jobs.records.job import Job
from jobs.records.outcome import Counts, Outcome
from jobs.records.row import ResultRow
from jobs.records.tallies.tally import TallyRecord
from jobs.reduce.reducer import reduce_job
from jobs.run.local import exit_code
from savs.errors import LedgerError
from tests.jobs.conftest import savs_submit
from tests.jobs.ledgers import classify_job, extract_job, plan_of, row, tally_of, write_outcome

SHARDS = [
    [row(0, "cat", "cat"), row(1, "dog", "cat"), row(2, "dog", "dog")],
    [row(3, "cat"), row(4, None, "dog", error="missing_media"), row(5, "dog", "dog")],
    [
        row(6, None, error="missing_media"),
        row(7, None, "cat", error="bad_row"),
        row(8, None, error="missing_media"),
    ],
    [row(9, None, error="missing_media"), row(10, "bird", "cat")],
]


def write_job(workspace: Path, order: tuple[int, ...] = (0, 1, 2, 3)) -> tuple[Ledger, Job]:
    """A classify job whose shards were committed in that order."""
    ledger = Ledger(str(workspace))
    job = ledger.create_job(classify_job(), plan_of(3, 3, 3, 2))
    for shard in order:
        write_outcome(ledger, job, shard, SHARDS[shard])
    return ledger, job


def reduced(ledger: Ledger, job: Job) -> dict[str, Any]:
    summary = reduce_job(ledger, job)
    assert summary is not None
    return summary


def test_a_summary_counts_what_the_rows_say(workspace: Path) -> None:
    summary = reduced(*write_job(workspace))

    assert summary["status"] == "done"
    assert (summary["rows"], summary["labelled"], summary["failed"], summary["abstained"]) == (11, 6, 5, 0)
    assert summary["classes"] == {"bird": 1, "cat": 2, "dog": 3}
    # five rows have both a label and a prediction; three of them are right
    assert summary["scored"] == 5 and summary["accuracy"] == 3 / 5
    assert summary["confusion"] == {"cat": {"bird": 1, "cat": 1, "dog": 1}, "dog": {"dog": 2}}
    assert summary["per_class_accuracy"] == {"cat": 1 / 3, "dog": 1.0}


def test_errors_are_counted_per_kind_with_the_first_three_quoted(workspace: Path) -> None:
    summary = reduced(*write_job(workspace))

    assert {kind: one["rows"] for kind, one in summary["errors"].items()} == {
        "bad_row": 1,
        "missing_media": 4,
    }
    quoted = summary["errors"]["missing_media"]["examples"]
    assert [one["index"] for one in quoted] == [4, 6, 8]
    assert quoted[0] == {
        "index": 4,
        "id": "row-4",
        "kind": "missing_media",
        "message": "row 4 is unreadable",
    }


def test_timings_add_up_over_shards(workspace: Path) -> None:
    timings = reduced(*write_job(workspace))["timings"]
    assert timings["seconds"]["decode"] == 2.0 and timings["seconds"]["forward"] == 1.0
    assert timings["items_per_second"] == {"decode": 3.0, "forward": 6.0}  # six labelled rows


def test_shards_in_any_order_give_the_same_summary(workspace: Path) -> None:
    summaries, rows = set(), set()
    for order in permutations(range(4)):
        folder = workspace / "-".join(map(str, order))
        ledger, job = write_job(folder, order)
        reduced(ledger, job)
        summaries.add((folder / "jobs" / job.job_id / "summary.json").read_bytes())
        rows.add(b"".join(result_rows(ledger, job.job_id)))
    assert len(summaries) == 1 and rows == {b"".join(one.line() for shard in SHARDS for one in shard)}


def test_reducing_twice_gives_the_same_bytes(workspace: Path) -> None:
    ledger, job = write_job(workspace)
    path = workspace / "jobs" / job.job_id / "summary.json"
    reduced(ledger, job)
    first = path.read_bytes()
    reduced(ledger, job)
    assert path.read_bytes() == first
    path.unlink()
    reduced(Ledger(str(workspace)), job)
    assert path.read_bytes() == first


def test_there_is_no_summary_while_a_shard_is_without_an_outcome(workspace: Path) -> None:
    ledger, job = write_job(workspace, (0, 1, 3))
    assert reduce_job(ledger, job) is None
    assert ledger.summary(job.job_id) is None


def test_without_any_label_there_is_no_accuracy(workspace: Path) -> None:
    ledger = Ledger(str(workspace))
    job = ledger.create_job(classify_job(), plan_of(2))
    write_outcome(ledger, job, 0, [row(0, "cat"), row(1, "dog")])
    summary = reduced(ledger, job)
    assert summary["classes"] == {"cat": 1, "dog": 1}
    assert not {"accuracy", "scored", "confusion", "per_class_accuracy"} & set(summary)


@pytest.mark.parametrize(
    "counts",
    [
        Counts(rows=2, labelled=2),  # three were planned
        Counts(rows=4, labelled=4),
        Counts(rows=3, labelled=2),  # one is neither labelled nor failed
        Counts(rows=3, labelled=2, failed=2),
    ],
)
def test_rows_that_do_not_add_up_are_refused(workspace: Path, counts: Counts) -> None:
    ledger, job = write_job(workspace, (1, 2, 3))
    write_outcome(ledger, job, 0, SHARDS[0], counts=counts)
    with pytest.raises(LedgerError, match="11 rows were planned and"):
        reduce_job(ledger, job)
    assert ledger.summary(job.job_id) is None


def test_an_outcome_of_a_shard_that_was_not_planned_is_refused(workspace: Path) -> None:
    ledger, job = write_job(workspace)
    write_outcome(ledger, job, 4, [])
    with pytest.raises(LedgerError, match=r"shards \[4\] have ended but were not planned"):
        reduce_job(ledger, job)


def test_a_shard_that_was_given_up_leaves_its_rows_named_and_the_job_incomplete(workspace: Path) -> None:
    # given three shards that are done and one that killed every worker
    ledger, job = write_job(workspace, (0, 2, 3))
    ledger.commit(
        job.job_id,
        Outcome(
            shard=1,
            status="failed",
            attempt="none",
            counts=Counts(rows=3, failed=3),
            reason="MemoryError: [no] room",
        ),
    )

    summary = reduced(ledger, job)

    assert summary["status"] == "incomplete"
    assert (summary["rows"], summary["labelled"], summary["failed"]) == (11, 4, 7)
    assert summary["missing"] == [
        {"shard": 1, "first_index": 3, "rows": 3, "reason": "MemoryError: [no] room"}
    ]
    assert exit_code([summary], 1) == 1
    # and the rows of the others are there, in order
    assert [ResultRow.model_validate_json(one).index for one in result_rows(ledger, job.job_id)] == [
        0,
        1,
        2,
        6,
        7,
        8,
        9,
        10,
    ]
    # and people are told
    result = savs_submit("resume", "pets", "--workspace", workspace)
    assert result.exit_code == 1, result.output
    assert "incomplete" in result.stdout and "rows 3 to 5 (MemoryError: [no] room)" in result.stdout


def test_an_extract_job_with_a_dead_shard_makes_no_artifact(workspace: Path) -> None:
    ledger = Ledger(str(workspace))
    job = ledger.create_job(extract_job(), plan_of(2))
    failed = {"counts": {"rows": 2, "failed": 2}, "reason": "the worker died"}
    ledger.commit(
        job.job_id, Outcome.model_validate({"shard": 0, "status": "failed", "attempt": "none"} | failed)
    )
    assert reduced(ledger, job)["status"] == "failed"
    assert not (workspace / "artifacts").exists()


@pytest.mark.parametrize(
    ("states", "jobs", "code"),
    [
        ([("done", 0), ("done", 0)], 2, 0),
        ([("done", 0), ("done", 1)], 2, 3),
        ([("done", 1), ("done", 0)], 2, 3),
        ([("done", 0)], 2, 1),  # what waits was never run
        ([("failed", 0)], 1, 1),
        ([("incomplete", 4)], 1, 1),
        ([], 1, 1),
    ],
)
def test_exit_codes(states: list[tuple[str, int]], jobs: int, code: int) -> None:
    assert exit_code([{"status": status, "failed": failed} for status, failed in states], jobs) == code


def test_a_tally_survives_its_way_through_json() -> None:
    tally = tally_of([one for shard in SHARDS for one in shard])
    again = TallyRecord.model_validate_json(TallyRecord.of(tally).model_dump_json()).tally()
    assert again == tally

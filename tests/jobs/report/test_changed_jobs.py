"""Reports of jobs that who may write in the workspace has changed: an error that says so, or a page."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from jobs.ledger.ledger import Ledger
from jobs.ledger.reports import report_key
from jobs.records.job import Job
from jobs.reduce.comparison import compare_jobs
from jobs.reduce.reducer import reduce_job
from jobs.report.report import make_report
from jobs.report.texts import LONG
from jobs.shards.allowed_roots import Roots
from savs.errors import LedgerError
from tests.jobs.cli.test_report_open import data_of
from tests.jobs.conftest import savs_submit
from tests.jobs.ledgers import classify_job, plan_of, probable, row, source_in, write_outcome

ROWS = 4
NAN, MANY = float("nan"), 10**30


def ended(workspace: Path, **first: Any) -> Job:
    """A job that has ended, of whose part, without a hash, the first row was changed."""
    ledger = Ledger(str(workspace))
    job = ledger.create_job(classify_job(), plan_of(ROWS))
    rows = [probable(n, {"cat": 0.9 - n / 10, "dog": 0.1 + n / 10}, "cat") for n in range(ROWS)]
    outcome = write_outcome(ledger, job, 0, rows, sha256=None)
    assert reduce_job(ledger, job) is not None
    lines = [json.loads(one.line()) for one in rows]
    lines[0] |= first
    part = workspace / "jobs" / job.job_id / "parts" / str(outcome.part)
    part.write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    return job


def page_of(workspace: Path, job: Job) -> Path:
    return Path(make_report(Ledger(str(workspace)), job, Roots.everywhere()))


FALSE = [
    *({"index": index} for index in (-1, ROWS, MANY, "0", 0.5, True, None)),
    *({"confidence": one} for one in ("high", NAN, float("inf"), -0.5, 7, [1], True)),
    *({"margin": one} for one in ("x", NAN, [1])),
    *(
        {"scores": one}
        for one in ([1], 3, {"cat": NAN}, {"cat": "x"}, {"cat": None}, {"cat": 5}, {"cat": {}})
    ),
    *({"votes": one} for one in ([1], {"cat": "many"}, {"cat": -1}, {"cat": NAN})),
    *({"media": one} for one in ("a.png", 5, [["a"], 4], {"a": 1})),
    *({"label": one} for one in (5, {"a": 1}, [["a"], 1])),
    *({"prediction": one} for one in (5, ["cat"])),
    *({"predictions": one} for one in ("cat", 5, [["a"]], None)),
    *({"error": one} for one in ("x", ["x"], {}, {"kind": [1], "message": 5})),
    {"id": {"a": 1}},
    {"notes": "odd"},
]


@pytest.mark.parametrize("first", FALSE, ids=str)
def test_a_row_that_no_worker_writes_is_an_error_that_says_so(workspace: Path, first: dict[str, Any]) -> None:
    job = ended(workspace, **first)

    with pytest.raises(LedgerError, match=f"a line of a part of {job.job_id} is not a result row"):
        page_of(workspace, job)
    with pytest.raises(LedgerError, match="is not a result row"):
        compare_jobs(Ledger(str(workspace)), job, job)


def test_the_command_prints_it_as_one_message(workspace: Path) -> None:
    ended(workspace, confidence="high")

    said = savs_submit("report", "pets", "--workspace", workspace)

    assert said.exit_code == 1
    assert "is not a result row: confidence: Input should be a valid number" in said.output


@pytest.mark.parametrize(
    "changed",
    [
        {"confusion": {"cat": 5}},
        {"confusion": {"cat": {"dog": "<b>"}}},
        {"per_class": {"cat": {"rows": 1, "recall": 1.0, "recall_interval": "wide"}}},
        {"reliability": [{"rows": 1, "confidence": "x", "accuracy": 1.0}]},
        {"risk_coverage": [{"rows": 1}]},
        {"timings": {"items_per_second": {}, "seconds": {"read": "long"}}},
    ],
    ids=str,
)
def test_so_is_a_summary(workspace: Path, changed: dict[str, Any]) -> None:
    job = ended(workspace)
    path = workspace / "jobs" / job.job_id / "summary.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changed))

    with pytest.raises(LedgerError, match="is not a summary"):
        page_of(workspace, job)


@pytest.mark.parametrize(
    "first",
    [
        {"id": "x" * 10**6},
        {"prediction": "x" * 10**6},
        {"label": "x" * 10**6},
        {"media": ["x" * 10**6]},
        {"notes": ["x" * 10**6]},
        {"scores": {"x" * 10**6: 0.6, "dog": 0.4}},
        {"error": {"kind": "x" * 10**6, "message": "y" * 10**6}},
    ],
    ids=lambda first: next(iter(first)),
)
def test_no_text_of_a_row_fills_the_page(workspace: Path, first: dict[str, Any]) -> None:
    page = page_of(workspace, ended(workspace, **first))

    assert len(json.dumps(data_of(page))) < 100_000
    assert "x" * (LONG + 1) not in page.read_text()


def test_no_label_fills_the_page(workspace: Path) -> None:
    ledger = Ledger(str(workspace))
    job = ledger.create_job(classify_job(), plan_of(ROWS))
    names = [letter * 10**5 for letter in "abcd"]
    write_outcome(ledger, job, 0, [probable(n, {names[n]: 0.6, "a": 0.4}, names[0]) for n in range(ROWS)])
    assert reduce_job(ledger, job) is not None

    page = page_of(workspace, job)

    assert page.stat().st_size < 1_200_000  # of which the library that draws charts is 1 MB
    assert data_of(page)["classes"] == []  # a correction would not name the class


def test_generated_texts_are_not_all_listed(workspace: Path) -> None:
    ledger = Ledger(str(workspace))
    job = ledger.create_job(classify_job(), plan_of(5000))
    often = row(0, "a cat", "cat")
    rows = [often.model_copy(update={"index": n, "prediction": f"text {n}"}) for n in range(4990)]
    rows += [often.model_copy(update={"index": n}) for n in range(4990, 5000)]
    write_outcome(ledger, job, 0, rows)
    assert reduce_job(ledger, job) is not None

    page = page_of(workspace, job)

    assert len(data_of(page)["classes"]) == 1000
    assert sum(item["prediction"] == "a cat" for item in data_of(page)["items"]) >= 2
    assert page.read_text().count('<th scope="row">text ') < 1300


def test_jobs_that_wait_for_each_other_do_not_stop_it(workspace: Path) -> None:
    job = ended(workspace)
    path = workspace / "jobs" / job.job_id / "job.json"
    found = json.loads(path.read_text())
    found["spec"] |= {"after": job.job_id}
    path.write_text(json.dumps(found))
    ledger = Ledger(str(workspace))

    make_report(ledger, ledger.job(job.job_id), Roots.everywhere())

    assert (workspace / report_key(job.job_id)).exists()


def test_a_worker_reads_no_question_from_outside_its_roots(workspace: Path, tmp_path: Path) -> None:
    source = source_in(tmp_path / "private")
    ledger = Ledger(str(workspace))
    plan = replace(plan_of(1), end=Path(source.url).stat().st_size)
    job = ledger.create_job(classify_job(source=source), plan)
    write_outcome(ledger, job, 0, [row(0, "cat")])
    assert reduce_job(ledger, job) is not None

    make_report(ledger, job, Roots.of([str(workspace)]))
    kept = data_of(workspace / report_key(job.job_id))["items"][0]["question"]
    make_report(ledger, job, Roots.everywhere())
    shown = data_of(workspace / report_key(job.job_id))["items"][0]["question"]

    assert (kept, shown) == (None, "?")

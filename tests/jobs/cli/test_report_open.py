"""`savs-submit report` and `open`, on ledgers written by hand."""

import json
import os
import re
import stat
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from jobs.ledger.ledger import Ledger
from jobs.ledger.reports import report_key
from jobs.records.job import Job
from jobs.records.row import ResultRow
from jobs.reduce.reducer import reduce_job
from jobs.report.report import make_report
from jobs.run.reports import report_on
from jobs.shards.allowed_roots import Roots
from tests.jobs.cli.test_base_install import base_install
from tests.jobs.conftest import savs_submit
from tests.jobs.ledgers import classify_job, extract_job, plan_of, probable, row, write_outcome


def labelled(workspace: str, name: str = "pets", shift: int = 0, media: tuple[str, ...] = ()) -> Job:
    """A job of two shards that has ended, with an error and a mistake."""
    ledger = Ledger(workspace)
    job = ledger.create_job(classify_job(name), plan_of(3, 3))
    labels = [("cat", "dog")[(n + shift) % 2] for n in range(5)]
    rows = [probable(n, {"cat": 0.9 - n / 10, "dog": 0.1 + n / 10}, label) for n, label in enumerate(labels)]
    rows = [one.model_copy(update={"media": media}) for one in rows]
    for shard, own in enumerate((rows[:3], [*rows[3:], row(5, None, error="missing_media")])):
        write_outcome(ledger, job, shard, own)
    assert reduce_job(ledger, job) is not None
    return job


def data_of(page: Path) -> dict[str, Any]:
    """What the page's script is given."""
    found = re.search(r'id="data">(.*?)</script>', page.read_text(), re.DOTALL)
    assert found is not None
    data: dict[str, Any] = json.loads(found[1])
    return data


def page_of(workspace: Path, job: Job) -> Path:
    return workspace / report_key(job.job_id)


def test_report_writes_a_page_and_says_how_to_see_it(workspace: Path) -> None:
    job = labelled(str(workspace))

    said = savs_submit("report", "pets", "--workspace", workspace)

    assert said.exit_code == 0, said.output
    assert said.stdout == (
        f"{page_of(workspace, job)}; to see it: savs-submit open pets --workspace {workspace}\n"
    )
    assert [item["index"] for item in data_of(page_of(workspace, job))["items"]] == [4, 3, 2, 1, 0, 5]


def test_other_jobs_are_compared_row_by_row(workspace: Path) -> None:
    job = labelled(str(workspace))
    labelled(str(workspace), "wolves")

    said = savs_submit("report", "pets", "wolves", "--workspace", workspace)

    assert said.exit_code == 0, said.output
    data = data_of(page_of(workspace, job))
    assert data["others"] == ["wolves"]
    assert all(item["others"] == [item["prediction"]] for item in data["items"] if not item["error"])
    assert "+0.000" in page_of(workspace, job).read_text()


def test_jobs_on_other_rows_are_refused(workspace: Path) -> None:
    labelled(str(workspace))
    labelled(str(workspace), "wolves", shift=1)

    said = savs_submit("report", "pets", "wolves", "--workspace", workspace)

    assert said.exit_code == 1
    assert "only jobs on the same rows can be compared" in said.output


def test_a_job_that_has_not_ended_has_no_report(workspace: Path) -> None:
    Ledger(str(workspace)).create_job(classify_job(), plan_of(3, 3))

    said = savs_submit("report", "pets", "--workspace", workspace)

    assert said.exit_code == 1
    assert "has not ended, and its report needs all rows; see: savs-submit status pets" in said.output


def test_only_classify_jobs_have_one(workspace: Path) -> None:
    Ledger(str(workspace)).create_job(extract_job(), plan_of(3, 3))

    said = savs_submit("report", "pets", "--workspace", workspace)

    assert (said.exit_code, "'pets' has no job that labels a corpus" in said.output) == (2, True)


def test_without_its_libraries_report_says_what_to_install(workspace: Path) -> None:
    labelled(str(workspace))

    said = base_install("report", "pets", "--workspace", workspace)

    assert said.returncode == 1
    assert "pip install 'savs[report]'" in said.stderr


def test_open_starts_the_browser_with_the_page(
    workspace: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = labelled(str(workspace))
    savs_submit("report", "pets", "--workspace", workspace)
    browser = tmp_path / "browser"
    browser.write_text(f'#!/bin/sh\necho "$1" > {tmp_path}/opened\n')
    browser.chmod(browser.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("BROWSER", str(browser))

    said = base_install("open", "pets", "--workspace", workspace)

    assert said.stdout == f"{page_of(workspace, job)}\n"
    assert (tmp_path / "opened").read_text() == f"{page_of(workspace, job).as_uri()}\n"


def test_open_without_a_report_says_how_to_make_it(workspace: Path) -> None:
    labelled(str(workspace))

    said = savs_submit("open", "pets", "--workspace", workspace)

    assert said.exit_code == 1
    assert f"has no report yet; make it: savs-submit report pets --workspace {workspace}" in said.output


def test_a_report_in_a_bucket_is_made_and_opened(bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    job = labelled("s3://corpus/work")
    monkeypatch.setenv("BROWSER", os.devnull)

    made = savs_submit("report", "pets", "--workspace", "s3://corpus/work")
    opened = savs_submit("open", "pets", "--workspace", "s3://corpus/work")

    assert f"s3://corpus/work/{report_key(job.job_id)}" in made.stdout
    page = Path(opened.stdout.partition(" (")[0].strip())
    assert page.name == f"{job.job_id}.html"
    assert len(data_of(page)["items"]) == 6


# Made by who has reduced the job


def test_whoever_reduces_a_job_makes_its_report_if_it_wants_one(workspace: Path) -> None:
    job, ledger = labelled(str(workspace)), Ledger(str(workspace))

    report_on(ledger, job, None)
    assert not page_of(workspace, job).exists()
    report_on(ledger, job.model_copy(update={"report": True}), None)
    assert page_of(workspace, job).exists()


def test_a_report_that_cannot_be_written_is_a_warning(
    workspace: Path, caplog: pytest.LogCaptureFixture
) -> None:
    job = labelled(str(workspace)).model_copy(update={"report": True})
    page_of(workspace, job).parent.write_text("in the way")

    report_on(Ledger(str(workspace)), job, None)

    assert "has no report" in caplog.text and "to try again: savs-submit report pets" in caplog.text


def test_a_worker_shows_no_picture_from_outside_its_roots(workspace: Path, tmp_path: Path) -> None:
    Image.new("RGB", (9, 9)).save(tmp_path / "secret.png")
    job = labelled(str(workspace), media=(str(tmp_path / "secret.png"),))
    ledger = Ledger(str(workspace))

    make_report(ledger, job, Roots.of([str(workspace)]))
    refused = data_of(page_of(workspace, job))["items"][0]["media"][0]
    make_report(ledger, job, Roots.everywhere())
    shown = data_of(page_of(workspace, job))["items"][0]["media"][0]

    assert refused["pictures"] == [] and "outside this worker's allowed roots" in refused["reason"]
    assert len(shown["pictures"]) == 1


def test_a_report_is_the_same_when_it_is_made_again(workspace: Path) -> None:
    job = labelled(str(workspace))
    savs_submit("report", "pets", "--workspace", workspace)
    first = page_of(workspace, job).read_bytes()

    savs_submit("report", "pets", "--workspace", workspace)

    assert page_of(workspace, job).read_bytes() == first


def test_half_of_a_character_in_an_id_does_not_stop_it(workspace: Path) -> None:
    ledger = Ledger(str(workspace))
    job = ledger.create_job(classify_job(), plan_of(2))
    rows: list[ResultRow] = [probable(n, {"cat": 0.9, "dog": 0.1}, "dog") for n in range(2)]
    write_outcome(ledger, job, 0, [one.model_copy(update={"id": "\ud83d"}) for one in rows])
    reduce_job(ledger, job)

    said = savs_submit("report", "pets", "--workspace", workspace)

    assert said.exit_code == 0, said.output
    assert data_of(page_of(workspace, job))["items"][0]["id"] == "\ud83d"

"""Jobs that are opened in Python: rows, tables, summary, report and artifact, from folders and from S3."""

import json
import shutil
from pathlib import Path

import pytest

import savs
from jobs.ledger.ledger import Ledger
from jobs.ledger.results import result_rows
from savs.errors import JobError, JobNotFound, LedgerError, NotFound, SettingsError
from savs.storage import open_store, s3_client
from tests.jobs.conftest import Finished
from tests.jobs.test_kept_workspaces import KEPT


@pytest.fixture
def kept(tmp_path: Path) -> Path:
    """A copy of a workspace with jobs of several tasks, zero-shot ones, and some that have not ended."""
    return Path(shutil.copytree(KEPT / "bucket" / "work", tmp_path / "work"))


def test_an_opened_job_has_the_rows_the_summary_and_the_artifact(calm: Finished) -> None:
    job = savs.open_job(calm.workspace, "shapes")

    assert (job.id, job.name) == (calm.classify.job_id, "shapes")
    assert list(job.rows()) == list(map(json.loads, calm.rows.splitlines()))
    assert job.summary == calm.summary("classify")
    assert job.artifact is not None and job.artifact.manifest.version == calm.extract.job_id
    assert job.id in repr(job)


def test_its_rows_are_tables_of_pandas_and_arrow(kept: Path) -> None:
    job = savs.open_job(str(kept), "strokes-classify-7e4d56f4")

    frame, table = job.to_pandas(), job.to_arrow()

    known = list(job.rows())
    assert table["prediction"].to_pylist() == [row["prediction"] for row in known]
    assert frame["prediction"].fillna("").tolist() == [row["prediction"] or "" for row in known]
    assert frame["votes"].tolist() == [row.get("votes") for row in known]
    assert list(frame.columns) == table.column_names and len(frame) == len(known)
    assert frame["error"].notna().sum() == sum("error" in row for row in known) > 0


def test_a_report_is_an_address_once_there_is_one(calm: Finished, tmp_path: Path) -> None:
    workspace = Path(shutil.copytree(calm.workspace, tmp_path / "copy"))
    job = savs.open_job(workspace, "shapes")
    with pytest.raises(NotFound, match="has no report yet; make it: savs-submit report shapes"):
        _ = job.report
    open_store(str(workspace)).write(f"jobs/{job.id}/report/index.html", b"<html>")

    assert Path(job.report).read_bytes() == b"<html>"


def test_a_job_on_s3_is_opened_like_one_in_a_folder(bucket: str, kept: Path, s3_server: str) -> None:
    client = s3_client(s3_server)
    for path in (path for path in kept.rglob("*") if path.is_file()):
        client.put_object(Bucket=bucket, Key=f"w/{path.relative_to(kept).as_posix()}", Body=path.read_bytes())
    client.put_object(Bucket=bucket, Key="w/jobs/strokes-classify-7e4d56f4/report/index.html", Body=b"<html>")

    job, local = savs.open_job(f"s3://{bucket}/w", "strokes"), savs.open_job(kept, "strokes")

    assert list(job.rows()) == list(local.rows()) and job.summary == local.summary
    assert job.report == f"s3://{bucket}/w/jobs/strokes-classify-7e4d56f4/report/index.html"
    assert job.artifact is not None and local.artifact is not None
    assert job.artifact.manifest == local.artifact.manifest


def test_a_job_that_has_not_ended_gives_the_rows_so_far_and_no_summary(kept: Path) -> None:
    job = savs.open_job(kept, "half")

    assert list(job.rows()) == list(map(json.loads, result_rows(Ledger(str(kept)), job.id)))
    with pytest.raises(JobError, match=r"no summary yet: it is \w+, \d+ of \d+ rows are done; see: savs-"):
        _ = job.summary


def test_of_several_jobs_of_a_name_the_newest_is_opened(kept: Path) -> None:
    old = kept / "jobs" / "strokes-classify-7e4d56f4"
    for job_id, submitted in (("strokes-classify-00000000", "2099"), ("strokes-classify-ffffffff", "1999")):
        new = Path(shutil.copytree(old, old.with_name(job_id)))
        job = json.loads((new / "job.json").read_text())
        job |= {"job_id": job_id, "submitted": f"{submitted}-01-01T00:00:00Z"}
        (new / "job.json").write_text(json.dumps(job))

    assert savs.open_job(kept, "strokes").id == "strokes-classify-00000000"
    assert savs.open_job(kept, old.name).id == old.name


def test_a_zero_shot_job_has_no_artifact(kept: Path) -> None:
    assert savs.open_job(kept, "strokes-zero-shot").artifact is None


def test_a_job_of_one_task_is_opened_by_the_name_of_the_task(kept: Path) -> None:
    assert savs.open_job(kept, "night.pair.lines").id == "night.pair.lines-classify-a42368eb"


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("stroks", "no job 'stroks' in .*; did you mean 'strokes'. it has .*night.pair.lines"),
        ("zzz", r"no job 'zzz' in \S+; it has again, half"),
        ("night", "several tasks or splits; open one of them: night.pair.lines, night.pair.train"),
        ("pair.lines", "'pair.lines' has no job that labels a corpus in .*, only: extract"),
    ],
)
def test_a_name_that_is_not_one_job_is_refused_with_the_names_that_are(
    kept: Path, name: str, said: str
) -> None:
    with pytest.raises(JobNotFound, match=said):
        savs.open_job(kept, name)


def test_an_address_that_is_no_workspace_is_refused(kept: Path) -> None:
    with pytest.raises(JobNotFound, match=r"there is no workspace .*/gone; pass the folder or s3:// address"):
        savs.open_job(kept / "gone", "strokes")
    with pytest.raises(SettingsError, match="is a file; a folder is needed"):
        savs.open_job(kept / "jobs" / "half-classify-f7004fb4" / "job.json", "strokes")
    with pytest.raises(SettingsError, match="neither a folder nor s3://bucket/prefix"):
        savs.open_job("gs://bucket/work", "strokes")


def test_a_job_without_a_plan_says_that_it_has_none(kept: Path) -> None:
    job = savs.open_job(kept, "strokes")
    (kept / "jobs" / job.id / "shards.json").unlink()

    with pytest.raises(LedgerError, match="it is not planned"):
        list(job.rows())

"""`savs-submit plan`: what a job would be, before it is one."""

import json
from pathlib import Path
from typing import Any

import pytest

from jobs.ledger.ledger import Ledger
from jobs.plans.planner import MAX_SHARD_ROWS, MIN_SHARD_ROWS, plan_manifest, shard_rows_for
from jobs.records.job import Job, PilotSpec, job_id
from jobs.records.message import gpu_queue
from jobs.records.outcome import Outcome
from jobs.records.plan import RowKind
from jobs.reduce.reducer import RATE_SECONDS, reduce_job
from tests.jobs.conftest import Corpus, savs_submit, write_jsonl
from tests.jobs.ledgers import MONDAY, SOURCE, classify_job, plan_of, row, summary_of, write_outcome


def corpus_of(folder: Path, rows: int, name: str = "corpus.jsonl", media: str = "png") -> Path:
    lines = [{"image": f"{i}.{media}", "label": ("cat", "cat", "dog")[i % 3]} for i in range(rows)]
    return write_jsonl(folder / name, lines)


def planned(*arguments: object) -> list[dict[str, Any]]:
    said = savs_submit("plan", *arguments, "--json")
    found: list[dict[str, Any]] = json.loads(said.stdout)
    return found


def test_rows_shards_and_classes_are_counted_and_nothing_is_written(corpus: Corpus, workspace: Path) -> None:
    said = savs_submit("plan", "--train", corpus.train, "--data", corpus.data, "--workspace", workspace)
    [train, data] = planned("--train", corpus.train, "--data", corpus.data, "--workspace", workspace)

    assert said.exit_code == 0
    assert (train["rows"], train["classes"]) == (24, {"circle": 8, "square": 8, "star": 8})
    assert (data["rows"], data["shards"], data["shard_rows"], data["kind"]) == (40, 1, 256, "image")
    assert data["bytes"] == corpus.data.stat().st_size
    assert (data["rate"], data["hours"], data["cost"]) == (None, None, None)
    assert "24 rows (image)" in said.stdout and "circle: 8" in said.stdout
    assert (
        "no job in the workspace has measured this model's rate: one that is done and took at least 10 s of "
        "its workers' time does; or give --rate" in said.stdout
    )
    assert not workspace.exists()


def test_all_training_files_are_planned(corpus: Corpus) -> None:
    trains = "--train", corpus.train, "--train", corpus.data
    assert [found["rows"] for found in planned(*trains, "--data", corpus.data)] == [24, 40, 40]


def test_hours_and_cost_follow_from_a_rate(tmp_path: Path) -> None:
    data = corpus_of(tmp_path, 7200)
    price = ("--rate", "2", "--workers", "4", "--gpu-hour-price", "2.5")

    [found] = planned("--data", data, *price)
    said = savs_submit("plan", "--data", data, *price)

    # 7,200 rows at 2 a second are an hour of one GPU: a quarter of one for four, at the same price
    assert (found["rate"], found["hours"], found["cost"]) == (2.0, 0.25, 2.5)
    assert (found["shard_rows"], found["shards"]) == (240, 30)  # two minutes of a worker
    assert "15.0 minutes at 2 items/s per GPU, cost 2.50" in said.stdout


def test_rows_that_a_pilot_has_read_do_not_count_in_the_rate(tmp_path: Path, workspace: Path) -> None:
    # given a pilot that has read 200 of 300 rows
    ledger = Ledger(str(workspace))
    spec = PilotSpec(name="pets", model="demo", data=SOURCE, artifact="/a")
    pilot = Job(job_id=job_id(spec), submitted=MONDAY, spec=spec)
    ledger.create_job(pilot, plan_of(200))
    ledger.write_summary(pilot.job_id, summary_of(pilot))

    run_job(ledger, seconds=50.0, after=pilot.job_id)

    assert ledger.rates(gpu_queue("demo")) == {"image": 2.0}


def run_job(
    ledger: Ledger, seconds: float, kind: RowKind = "image", after: str | None = None
) -> dict[str, Any]:
    """A job of 300 rows that has taken one worker so many seconds."""
    plan = plan_of(300)
    object.__setattr__(plan, "kind", kind)
    job = ledger.create_job(classify_job(f"{kind}-{seconds}", after=after), plan)
    write_outcome(
        ledger, job, 0, [row(i, "cat") for i in range(300)], timings={"worker": seconds, "forward": 1.0}
    )
    summary = reduce_job(ledger, job)
    assert summary is not None
    return summary


def test_the_rate_that_a_job_has_left_is_used_for_its_model_and_kind_of_row(
    tmp_path: Path, workspace: Path
) -> None:
    ledger = Ledger(str(workspace))
    run_job(ledger, seconds=30.0)
    run_job(ledger, seconds=300.0, kind="video")
    data = corpus_of(tmp_path, 7200)
    videos = corpus_of(tmp_path, 720, "videos.jsonl", "mp4")

    [pictures] = planned("--data", data, "--workspace", workspace)
    [films] = planned("--data", videos, "--workspace", workspace)
    [other] = planned("--data", data, "--workspace", workspace, "--model", "qwen2.5_vl")
    [told] = planned("--data", data, "--workspace", workspace, "--rate", "20")

    assert (pictures["rate"], pictures["hours"], pictures["shard_rows"]) == (10.0, 0.2, 1200)
    assert (films["rate"], films["hours"], films["shard_rows"], films["kind"]) == (1.0, 0.2, 120, "video")
    assert other["rate"] is None
    assert told["rate"] == 20.0
    assert ledger.rates(gpu_queue("demo")) == {"image": 10.0, "video": 1.0}


def test_a_job_of_few_seconds_or_with_missing_shards_leaves_no_rate(workspace: Path) -> None:
    ledger = Ledger(str(workspace))
    run_job(ledger, seconds=RATE_SECONDS - 0.1)
    job = ledger.create_job(classify_job("dead"), plan_of(300))
    dead = Outcome(
        shard=0,
        status="failed",
        attempt="none",
        counts={"rows": 300, "failed": 300},  # type: ignore[arg-type]
        timings={"worker": 60.0},
    )
    ledger.commit(job.job_id, dead)
    assert reduce_job(ledger, job)["status"] == "failed"

    assert ledger.rates(gpu_queue("demo")) == {}
    assert not (workspace / "rates").exists()


@pytest.mark.parametrize(
    "found",
    [
        b"",
        b"[]",
        b"null",
        b'"x"',
        b'{"image": "x"}',
        b'{"image": -1}',
        b'{"image": NaN}',
        b"\xff",
        b"[" * 10**5,
    ],
)
def test_a_spoilt_rate_counts_as_none(workspace: Path, found: bytes) -> None:
    ledger = Ledger(str(workspace))
    ledger.store.write("rates/savs.gpu.demo.json", found)

    assert ledger.rates("savs.gpu.demo") == {}


@pytest.mark.parametrize(
    ("kind", "rates", "rows"),
    [
        ("image", {}, 256),
        ("video", {}, 64),
        ("text", {"image": 20.0}, 256),
        ("image", {"image": 20.0}, 2400),
        ("video", {"video": 0.5}, 60),
        ("video", {"video": 0.001}, MIN_SHARD_ROWS),
        ("image", {"image": 1e6}, MAX_SHARD_ROWS),
    ],
)
def test_a_shard_is_two_minutes_of_a_worker_within_bounds(
    kind: RowKind, rates: dict[str, float], rows: int
) -> None:
    assert shard_rows_for(kind, rates) == rows


def test_a_job_is_planned_by_the_rate_that_was_left(tmp_path: Path, workspace: Path) -> None:
    ledger = Ledger(str(workspace))
    run_job(ledger, seconds=600.0)
    data = corpus_of(tmp_path, 200)

    plan = plan_manifest(str(data), None, labelled=False, rates=ledger.rates(gpu_queue("demo")))

    assert [shard.rows for shard in plan] == [60, 60, 60, 20]


def test_unusable_rows_of_a_corpus_are_named_and_those_of_a_training_file_refused(tmp_path: Path) -> None:
    good = {"image": "a.png", "question": "What?", "label": "cat"}
    lines = [good, b"", b"{", good | {"label": "dog"}, {"label": "cat"}]
    both = write_jsonl(tmp_path / "both.jsonl", lines)

    data, train = savs_submit("plan", "--data", both), savs_submit("plan", "--train", both)
    [found] = planned("--train", both)

    assert data.exit_code == 0
    assert "line 3: not JSON" in data.stdout and "line 5: neither 'image' nor 'question'" in data.stdout
    assert (train.exit_code, savs_submit("plan", "--train", both, "--json").exit_code) == (2, 2)
    assert "cannot be submitted: 2 of its rows cannot be used" in train.stdout
    assert (found["rows"], found["problems"]) == (4, 2)
    assert [bad["line"] for bad in found["bad"]] == [3, 5]
    assert found["classes"] == {"cat": 1, "dog": 1}


def test_many_unusable_rows_are_counted_and_named_once_per_cause(tmp_path: Path) -> None:
    data = write_jsonl(tmp_path / "data.jsonl", [b"{"] * 50 + [{"question": "?"}])

    said = savs_submit("plan", "--data", data)

    assert said.exit_code == 0
    assert said.stdout.count("not JSON") == 1 and "(also in lines 2, 3, 4 and 46 more)" in said.stdout


@pytest.mark.parametrize(
    ("option", "lines", "problem"),
    [
        ("--train", [], "has no rows"),
        ("--data", [b" "], "has no rows"),
        ("--train", [{"question": "a", "label": "x"}] * 2, "at least two classes are needed"),
    ],
)
def test_a_file_from_which_no_job_can_be_made_is_exit_code_2(
    tmp_path: Path, option: str, lines: list[Any], problem: str
) -> None:
    path = write_jsonl(tmp_path / "rows.jsonl", lines)

    said = savs_submit("plan", option, path)

    assert said.exit_code == 2 and problem in said.stdout


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["--data", "nowhere.jsonl"],
        ["--data", "https://a.example/rows.jsonl"],
        ["--data", "DATA", "--rate", "0"],
        ["--data", "DATA", "--rate", "nan"],
        ["--data", "DATA", "--rate", "inf"],
        ["--data", "DATA", "--gpu-hour-price", "nan"],
        ["--data", "DATA", "--workers", "0"],
    ],
)
def test_wrong_usage_is_exit_code_2(tmp_path: Path, arguments: list[str]) -> None:
    data = str(corpus_of(tmp_path, 3))

    said = savs_submit("plan", *(data if one == "DATA" else one for one in arguments))

    assert said.exit_code == 2
    assert said.stdout == ""

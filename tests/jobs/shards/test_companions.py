"""Several tasks in one pass through the model: what each says alone, said at once."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import savs
from jobs.ledger.ledger import Ledger
from jobs.ledger.processes import write_process
from jobs.records.job import Job
from jobs.records.message import gpu_queue
from jobs.reduce.status import job_state
from jobs.shards.companions import is_carried, join_jobs
from savs.engine import batches
from tests.jobs.conftest import (
    EXAMPLES,
    HEADS,
    ROWS,
    Corpus,
    read_jsonl,
    savs_submit,
    tree,
    write_jsonl,
)
from tests.jobs.ledgers import classify_job, summary_of

SHARD = 8
TASKS = ("shape", "half", "kind")  # `kind` asks what `shape` asks, about other classes


@pytest.fixture
def files(own_corpus: Corpus) -> dict[str, Path]:
    """A training file for each task, over the same pictures; the corpus' rows have no question."""
    rows = read_jsonl(own_corpus.train)
    labels: dict[str, Callable[[int, dict[str, Any]], str]] = {
        "shape": lambda i, row: row["label"],
        "half": lambda i, row: f"{i % 2}",
        "kind": lambda i, row: "star" if row["label"] == "star" else "no star",
    }
    questions = {"half": "Is the thing on the left side, or is it on the right side of it?"}
    for task, label in labels.items():
        own = [
            row | {"label": label(i, row), "question": questions.get(task, row["question"])}
            for i, row in enumerate(rows)
        ]
        write_jsonl(own_corpus.folder / f"{task}.jsonl", own)
    data = [{k: v for k, v in row.items() if k != "question"} for row in read_jsonl(own_corpus.data)]
    write_jsonl(own_corpus.data, data)
    return {task: own_corpus.folder / f"{task}.jsonl" for task in TASKS}


def options(model: Path, workspace: Path) -> list[object]:
    return ["--model", model, "--workspace", workspace, "--shard-size", SHARD, "--batch-tokens", 400]


def extract(files: dict[str, Path], tasks: tuple[str, ...], model: Path, workspace: Path, name: str) -> Any:
    trains = [part for task in tasks for part in ("--train", files[task])]
    said = savs_submit(
        "extract",
        *trains,
        "--name",
        name,
        "--heads",
        HEADS,
        "--readout",
        "reference",
        *options(model, workspace),
    )
    assert said.exit_code == 0, said.output
    return said


def classify(corpus: Corpus, artifacts: list[str], model: Path, workspace: Path, name: str) -> Any:
    chosen = [part for artifact in artifacts for part in ("--artifact", artifact)]
    return savs_submit("classify", "--data", corpus.data, *chosen, "--name", name, *options(model, workspace))


def rows_of(name: str, workspace: Path) -> list[dict[str, Any]]:
    said = savs_submit("results", name, "--workspace", workspace)
    assert said.exit_code == 0, said.output
    return [json.loads(line) for line in said.stdout.splitlines()]


@pytest.fixture
def forwards(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Prompts of every batch that is built, told while it is watched."""
    seen: list[int] = []
    build = batches.build

    def watched(model: Any, rows: Any) -> Any:
        seen.append(sum(len(row.questions) for row in rows))
        return build(model, rows)

    monkeypatch.setattr("savs.engine.engine.build", watched)
    return seen


def test_every_task_says_at_once_what_it_says_alone(
    own_corpus: Corpus, files: dict[str, Path], qwen2_vl: Path, workspace: Path, forwards: list[int]
) -> None:
    # given artifacts that were fitted in one pass, and again one by one
    forwards.clear()
    extract(files, TASKS, qwen2_vl, workspace, "set")
    at_once = sum(forwards)
    for task in TASKS:
        extract(files, (task,), qwen2_vl, workspace, task)
    for task in TASKS:
        one, other = (
            savs.load_artifact(str(next((workspace / "artifacts" / name).iterdir()))).readout
            for name in (f"set.{task}", task)
        )
        assert one.classes == other.classes and one.heads.tolist() == other.heads.tolist()
        assert all(np.allclose(a, b, atol=1e-4) for a, b in zip(one.centroids, other.centroids, strict=True))
    # of three questions two are the same, and were asked once
    assert at_once == 2 * EXAMPLES

    # if the corpus is labelled with all of them at once, and with one after the other
    forwards.clear()
    said = classify(own_corpus, [f"set.{task}" for task in TASKS], qwen2_vl, workspace, "night")
    assert said.exit_code == 0, said.output
    assert sum(forwards) == 2 * ROWS
    for task in TASKS:
        classify(own_corpus, [f"set.{task}"], qwen2_vl, workspace, f"alone-{task}")

    # then there is a row per item and task, and each is what it is alone
    rows = rows_of("night", workspace)
    assert [(row["task"], row["index"]) for row in rows] == [
        (f"set.{task}", index) for task in TASKS for index in range(ROWS)
    ]
    for place, task in enumerate(TASKS):
        assert rows[place * ROWS : (place + 1) * ROWS] == rows_of(f"alone-{task}", workspace)
    # and a table of all tasks stands at the end
    assert "night: 3 tasks" in said.stdout and "mean over 3 tasks" in said.stdout


def test_artifacts_whose_items_were_shown_otherwise_label_as_they_do_alone(
    own_corpus: Corpus, files: dict[str, Path], qwen2_vl: Path, workspace: Path, forwards: list[int]
) -> None:
    extract(files, ("shape",), qwen2_vl, workspace, "shape")
    how = ["--heads", HEADS, "--max-pixels", 56 * 56, *options(qwen2_vl, workspace)]
    assert savs_submit("extract", "--train", files["kind"], "--name", "small", *how).exit_code == 0
    forwards.clear()

    said = classify(own_corpus, ["shape", "small"], qwen2_vl, workspace, "night")

    assert said.exit_code == 0 and sum(forwards) == 2 * ROWS
    for place, name in enumerate(("shape", "small")):
        classify(own_corpus, [name], qwen2_vl, workspace, f"alone-{name}")
        own = rows_of("night", workspace)[place * ROWS : (place + 1) * ROWS]
        assert own == rows_of(f"alone-{name}", workspace)


def test_rows_with_a_question_of_their_own_are_asked_once_for_all_tasks(
    own_corpus: Corpus, files: dict[str, Path], qwen2_vl: Path, workspace: Path, forwards: list[int]
) -> None:
    extract(files, TASKS, qwen2_vl, workspace, "set")
    rows = [row | {"question": "What is it?"} for row in read_jsonl(own_corpus.data)]
    write_jsonl(own_corpus.data, rows)
    forwards.clear()

    classify(own_corpus, [f"set.{task}" for task in TASKS], qwen2_vl, workspace, "night")

    assert sum(forwards) == ROWS
    assert len(rows_of("night", workspace)) == 3 * ROWS


def test_a_bad_item_costs_a_row_of_each_task_and_retry_mends_the_tasks_one_by_one(
    own_corpus: Corpus, files: dict[str, Path], qwen2_vl: Path, workspace: Path
) -> None:
    extract(files, TASKS, qwen2_vl, workspace, "set")
    whole = own_corpus.pictures[9].read_bytes()
    own_corpus.pictures[9].write_bytes(b"no picture")

    said = classify(own_corpus, [f"set.{task}" for task in TASKS], qwen2_vl, workspace, "night")

    assert said.exit_code == 3
    bad = [row for row in rows_of("night", workspace) if "error" in row]
    assert [(row["task"], row["index"]) for row in bad] == [(f"set.{task}", 9) for task in TASKS]

    own_corpus.pictures[9].write_bytes(whole)
    assert savs_submit("retry", "night.set.half", "--workspace", workspace).exit_code == 0
    bad = [row for row in rows_of("night", workspace) if "error" in row]
    assert [row["task"] for row in bad] == ["set.shape", "set.kind"]
    assert savs_submit("retry", "night", "--workspace", workspace).exit_code == 0
    assert not [row for row in rows_of("night", workspace) if "error" in row]


def test_a_shard_that_was_cut_off_between_its_commits_runs_what_has_none(
    own_corpus: Corpus, files: dict[str, Path], qwen2_vl: Path, workspace: Path, forwards: list[int]
) -> None:
    # given a run of which two commits of a shard are lost: the first job's, and a companion's
    extract(files, TASKS, qwen2_vl, workspace, "set")
    artifacts = [f"set.{task}" for task in TASKS]
    classify(own_corpus, artifacts, qwen2_vl, workspace, "night")
    calm = rows_of("night", workspace)
    ledger = Ledger(str(workspace))
    first, half, kind = (ledger.jobs(f"night.set.{task}")[0] for task in TASKS)
    for job in (first, kind):
        (workspace / "jobs" / job.job_id / "commits" / "0000002.json").unlink()
        ledger.forget_summary(job.job_id)
    before = tree(workspace / "jobs" / half.job_id)
    forwards.clear()

    said = classify(own_corpus, artifacts, qwen2_vl, workspace, "night")

    # then one pass ran, for both of them, who ask the same
    assert said.exit_code == 0 and sum(forwards) == SHARD
    assert tree(workspace / "jobs" / half.job_id) == before
    assert rows_of("night", workspace) == calm


def test_a_companion_whose_artifact_is_spoilt_hurts_nobody_but_itself(
    own_corpus: Corpus, files: dict[str, Path], qwen2_vl: Path, workspace: Path
) -> None:
    extract(files, TASKS, qwen2_vl, workspace, "set")
    [unreadable] = (workspace / "artifacts" / "set.half").iterdir()
    tensors = (unreadable / "savs.safetensors").read_bytes()
    (unreadable / "savs.safetensors").write_bytes(b"nothing")

    # if that can be known before, nothing is begun
    said = classify(own_corpus, [f"set.{task}" for task in TASKS], qwen2_vl, workspace, "night")
    ledger = Ledger(str(workspace))
    assert said.exit_code == 1 and "savs.safetensors is not usable" in said.output
    assert not ledger.jobs("night")

    # and if it comes later, the other tasks go on
    (unreadable / "savs.safetensors").write_bytes(tensors)
    classify(own_corpus, [f"set.{task}" for task in TASKS], qwen2_vl, workspace, "night")
    for job in ledger.jobs("night"):
        shutil.rmtree(workspace / "jobs" / job.job_id / "commits")
        ledger.forget_summary(job.job_id)
    (unreadable / "savs.safetensors").write_bytes(b"nothing")
    said = savs_submit("resume", "night", "--workspace", workspace)
    assert said.exit_code == 1 and "savs.safetensors is not usable" in said.output
    done = {task: len(ledger.committed(ledger.jobs(f"night.set.{task}")[0].job_id)) for task in TASKS}
    assert done == {"shape": ROWS // SHARD, "half": 0, "kind": ROWS // SHARD}


def test_a_companion_that_was_cancelled_is_not_carried(
    own_corpus: Corpus, files: dict[str, Path], qwen2_vl: Path, workspace: Path
) -> None:
    extract(files, TASKS[:2], qwen2_vl, workspace, "set")
    artifacts = [f"set.{task}" for task in TASKS[:2]]
    classify(own_corpus, artifacts, qwen2_vl, workspace, "night")
    ledger = Ledger(str(workspace))
    jobs = [ledger.jobs(f"night.set.{task}")[0] for task in TASKS[:2]]
    for job in jobs:
        shutil.rmtree(workspace / "jobs" / job.job_id / "commits")
        ledger.forget_summary(job.job_id)
    ledger.cancel(jobs[1].job_id)

    assert savs_submit("resume", "night.set.shape", "--workspace", workspace).exit_code == 0

    assert len(ledger.committed(jobs[0].job_id)) == ROWS // SHARD
    assert not ledger.committed(jobs[1].job_id)


def test_a_manifest_is_planned_once_for_all_tasks(
    own_corpus: Corpus,
    files: dict[str, Path],
    qwen2_vl: Path,
    workspace: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from jobs.submit import submission

    extract(files, TASKS, qwen2_vl, workspace, "set")
    planned: list[str] = []
    plan = submission.plan_manifest

    def watched(url: str, *arguments: Any, **more: Any) -> Any:
        planned.append(url)
        return plan(url, *arguments, **more)

    monkeypatch.setattr(submission, "plan_manifest", watched)

    classify(own_corpus, [f"set.{task}" for task in TASKS], qwen2_vl, workspace, "night")

    assert planned == [str(own_corpus.data)]


def test_what_cannot_go_together_is_refused_before_anything_is_written(
    own_corpus: Corpus, files: dict[str, Path], qwen2_vl: Path, workspace: Path, tmp_path: Path
) -> None:
    extract(files, ("shape",), qwen2_vl, workspace, "set")
    [made] = (workspace / "artifacts" / "set").iterdir()
    other = tmp_path / "other"
    shutil.copytree(made, other)
    manifest = json.loads((other / "manifest.json").read_text())
    manifest["origin"]["model"]["id"], manifest["name"] = "somebody/else", "else"
    (other / "manifest.json").write_text(json.dumps(manifest))
    before = tree(workspace)

    def refused(*arguments: object) -> str:
        said = savs_submit(*arguments, "--name", "night", "--workspace", workspace)
        assert said.exit_code == 2, said.output
        return str(said.output)

    data = ["classify", "--data", own_corpus.data]
    assert "two are called 'set'" in refused(*data, "--artifact", "set", "--artifact", made)
    assert "a pass uses one model" in refused(*data, "--artifact", "set", "--artifact", other)
    twice = ["extract", "--model", qwen2_vl, "--train", files["shape"], "--train", files["shape"]]
    assert "two files are called 'shape'" in refused(*twice)
    assert tree(workspace) == before


def test_a_set_is_another_job_than_one_of_it_alone_and_the_same_when_it_comes_again() -> None:
    jobs = [replace_name(classify_job(), name) for name in ("a", "b")]

    first, second = join_jobs(jobs)
    again = join_jobs(jobs)

    assert first.job_id != jobs[0].job_id and second.job_id != jobs[1].job_id
    assert (first.companions, first.beside) == ((second.job_id,), None)
    assert (second.companions, second.beside) == ((), first.job_id)
    assert [job.job_id for job in again] == [first.job_id, second.job_id]
    assert join_jobs(jobs[:1]) == jobs[:1]


def replace_name(job: Job, name: str) -> Job:
    from jobs.records.job import job_id

    spec = job.spec.model_copy(update={"name": f"pets.{name}", "split": name})
    return job.model_copy(update={"spec": spec, "job_id": job_id(spec)})


def test_a_companion_waits_for_the_end_of_the_first_job_however_that_comes(workspace: Path) -> None:
    from jobs.reduce.status import is_due
    from tests.jobs.ledgers import plan_of

    ledger = Ledger(str(workspace))
    first, second = (
        ledger.create_job(job, plan_of(2, 2))
        for job in join_jobs([replace_name(classify_job(), name) for name in ("a", "b")])
    )

    assert is_carried(ledger, second) and not is_due(ledger, second)
    write_process(ledger, first.job_id)
    assert job_state(ledger, second)["status"] == "running"
    ledger.cancel(first.job_id)
    assert is_due(ledger, second)
    ledger.uncancel(first.job_id)
    for status in ("done", "incomplete", "failed"):
        ledger.write_summary(first.job_id, summary_of(first, status))
        assert is_due(ledger, second)
    ledger.forget_summary(first.job_id)
    assert not is_due(ledger, second)
    ledger.delete(first.job_id)
    assert is_due(ledger, second)


def test_a_first_job_that_is_planned_anew_carries_its_companions_own_rows(
    own_corpus: Corpus, files: dict[str, Path], qwen2_vl: Path, workspace: Path
) -> None:
    # given a set of which the first job was deleted, and would now be cut into other shards
    extract(files, TASKS[:2], qwen2_vl, workspace, "set")
    data = ["classify", "--data", own_corpus.data, "--artifact", "set.shape", "--artifact", "set.half"]
    command = [*data, "--name", "night", "--workspace", workspace]
    assert savs_submit(*command).exit_code == 0
    ledger = Ledger(str(workspace))
    first, second = (ledger.jobs(f"night.set.{task}")[0] for task in TASKS[:2])
    shutil.rmtree(workspace / "jobs" / second.job_id / "commits")
    ledger.forget_summary(second.job_id)
    ledger.delete(first.job_id)
    ledger.write_rates(gpu_queue(first.spec.model), {"image": 16 / 120})

    assert savs_submit(*command).exit_code == 0

    assert len(ledger.planned(first.job_id)) != len(ledger.planned(second.job_id))
    assert [row["index"] for row in rows_of("night", workspace)] == [*range(ROWS)] * 2

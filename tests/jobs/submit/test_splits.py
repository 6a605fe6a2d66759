"""Splits: files of the same name in two folders are fitted and labelled each, under one name."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from jobs.ledger.ledger import Ledger
from jobs.queue.timeouts import Timeouts
from jobs.records.job import ClassifySpec, Job, job_id
from jobs.reduce.reducer import fail_job, reduce_job
from jobs.reduce.split_scores import split_scores
from jobs.run.watch import follow
from jobs.submit.splits import Split, manifests_of, splits_of
from savs.errors import SettingsError
from savs.scores.intervals import wilson
from savs.storage import open_parent
from tests.jobs.conftest import HEADS, Corpus, read_jsonl, savs_submit, write_jsonl
from tests.jobs.ledgers import classify_job, extract_job, plan_of, row, write_outcome


@pytest.fixture
def folders(corpus: Corpus, tmp_path: Path) -> Path:
    """train/ and test/ with the splits `few`, a list, and `many`, lines; beside them what is no split."""
    train, data = read_jsonl(corpus.train), read_jsonl(corpus.data)
    for name in ("train", "test"):
        (tmp_path / name / "pictures").mkdir(parents=True)
        (tmp_path / name / "README.md").write_text("how they were made")
        (tmp_path / name / "._few.json").write_text("what some systems leave behind")
        (tmp_path / name / "pictures" / "notes.json").write_text("[]")
    for name, few, many in (("train", train[:12], train[9:]), ("test", data[:9], data[9:])):
        (tmp_path / name / "few.json").write_text(json.dumps(few))
        write_jsonl(tmp_path / name / "many.jsonl", many)
    return tmp_path


def run(corpus: Corpus, model: Path, workspace: Path, *files: object) -> Any:
    return savs_submit(
        *(
            "run",
            "--name",
            "blink",
            "--model",
            model,
            "--workspace",
            workspace,
            "--media-root",
            corpus.folder,
        ),
        *("--heads", HEADS, "--readout", "reference", "--shard-size", 8, "--batch-tokens", 200, *files),
    )


def lines_of(name: str, workspace: Path) -> list[dict[str, Any]]:
    said = savs_submit("results", name, "--workspace", workspace)
    assert said.exit_code == 0, said.output
    return [json.loads(line) for line in said.stdout.splitlines()]


def test_two_folders_are_run_split_by_split_and_end_in_one_table(
    corpus: Corpus, qwen2_vl: Path, workspace: Path, folders: Path
) -> None:
    said = run(
        corpus, qwen2_vl, workspace, "--train", folders / "train", "--data", folders / "test", "--json"
    )

    # then each split has an artifact of its own, and all are done
    assert said.exit_code == 0, said.output
    *summaries, table = json.loads(said.stdout)
    assert [(s["name"], s["kind"], s["status"]) for s in summaries] == [
        (f"blink.{split}", kind, "done") for split in ("few", "many") for kind in ("extract", "classify")
    ]
    assert sorted(p.name for p in (workspace / "artifacts").iterdir()) == ["blink.few", "blink.many"]

    # and the results of the name are those of all of them, which say whose they are
    rows = lines_of("blink", workspace)
    assert [row["task"] for row in rows] == ["blink.few"] * 9 + ["blink.many"] * 31
    assert lines_of("blink.many", workspace) == rows[9:]

    # and the table is what the rows say
    right = {
        split: [r["prediction"] == r["label"] for r in rows if r["task"] == f"blink.{split}" and "label" in r]
        for split in ("few", "many")
    }
    assert table["kind"] == "splits" and table["name"] == "blink"
    assert [(s["split"], s["rows"], s["accuracy"]) for s in table["splits"]] == [
        (split, len(found), sum(found) / len(found)) for split, found in right.items()
    ]
    few, many = (sum(found) / len(found) for found in right.values())
    assert table["macro"]["accuracy"] == pytest.approx((few + many) / 2)
    together = [*right["few"], *right["many"]]
    assert table["micro"]["accuracy"] == pytest.approx(sum(together) / len(together))

    # and people see it too, whenever they look
    watched = savs_submit("watch", "blink", "--workspace", workspace)
    assert watched.exit_code == 0
    assert "blink: 2 splits" in watched.stdout
    assert re.search(rf"mean over 2 splits +{len(together)} +{(few + many) / 2:.3f} ", watched.stdout)
    assert re.search(
        rf"mean over all rows +{len(together)} +{table['micro']['accuracy']:.3f} ", watched.stdout
    )
    listed = json.loads(savs_submit("status", "blink", "--workspace", workspace, "--json").stdout)
    assert [state["name"] for state in listed] == [s["name"] for s in summaries]


def test_splits_may_be_named_one_by_one_and_are_then_the_same_jobs(
    corpus: Corpus, qwen2_vl: Path, workspace: Path, folders: Path
) -> None:
    files = [(folders / "train" / name, folders / "test" / name) for name in ("few.json", "many.jsonl")]
    one_by_one = ("--split", "few", *files[0], "--split", "many", *files[1])
    first = run(corpus, qwen2_vl, workspace, *one_by_one)
    assert first.exit_code == 0, first.output
    jobs = Ledger(str(workspace)).job_ids()

    again = run(corpus, qwen2_vl, workspace, "--train", folders / "train", "--data", folders / "test")

    assert again.exit_code == 0
    assert "mean over 2 splits" in first.stdout and again.stdout == first.stdout
    assert Ledger(str(workspace)).job_ids() == jobs and len(jobs) == 4


def test_a_split_that_cannot_be_fitted_leaves_the_others_alone(
    corpus: Corpus, qwen2_vl: Path, workspace: Path, folders: Path
) -> None:
    # given a split whose training pictures are not there
    rows = json.loads((folders / "train" / "few.json").read_text())
    (folders / "train" / "few.json").write_text(
        json.dumps([r | {"image": f"no/{i}"} for i, r in enumerate(rows)])
    )

    said = run(corpus, qwen2_vl, workspace, "--train", folders / "train", "--data", folders / "test")

    # then the other is labelled, and the table says what it is of
    assert said.exit_code == 1
    assert len(lines_of("blink.many", workspace)) == 31
    assert "mean over 1 splits" in said.stdout and "are left out" in said.stdout


def test_a_split_that_is_stopped_leaves_the_others_alone(
    corpus: Corpus, qwen2_vl: Path, workspace: Path, folders: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given a split whose first rows cannot be read
    monkeypatch.setattr("jobs.reduce.brake.BRAKE_ROWS", 8)
    rows = json.loads((folders / "test" / "few.json").read_text())
    (folders / "test" / "few.json").write_text(
        json.dumps([r | {"image": f"no/{i}"} for i, r in enumerate(rows)])
    )

    said = run(corpus, qwen2_vl, workspace, "--train", folders / "train", "--data", folders / "test")

    assert said.exit_code == 1
    assert "blink.few-classify-" in said.stderr and "8 of its first 8 rows failed" in said.stderr
    assert len(lines_of("blink.many", workspace)) == 31
    # and the table is there for who asks
    watched = savs_submit("watch", "blink", "--workspace", workspace)
    assert watched.exit_code == 1 and "mean over 1 splits" in watched.stdout


def test_one_unusable_training_file_keeps_all_splits_from_being_submitted(
    corpus: Corpus, qwen2_vl: Path, workspace: Path, folders: Path
) -> None:
    with (folders / "train" / "many.jsonl").open("ab") as stream:
        stream.write(b"{}\n")

    said = run(corpus, qwen2_vl, workspace, "--train", folders / "train", "--data", folders / "test")

    assert said.exit_code == 2 and "many.jsonl:16" in said.stderr
    assert not list(workspace.rglob("job.json"))


def test_plan_looks_through_all_files_of_a_folder(corpus: Corpus, folders: Path) -> None:
    said = savs_submit("plan", "--train", folders / "train", "--data", folders / "test", "--json")
    assert said.exit_code == 0, said.output
    assert [(Path(one["url"]).name, one["rows"]) for one in json.loads(said.stdout)] == [
        ("few.json", 12),
        ("many.jsonl", 15),
        ("few.json", 9),
        ("many.jsonl", 31),
    ]


# What is no split


@pytest.mark.parametrize(
    ("files", "reason"),
    [
        ("--train train --data test/few.json", "--train: train is a folder and --data is not"),
        ("--train train/few.json --data test", "--data: test is a folder and --train is not"),
        ("--train train --data bare", "bare has no rows; left out: 1 no image or video ('a.txt')"),
        ("--train train --data less", "only one of the folders has: {}/train/many.jsonl"),
        ("--train train --data more", "only one of the folders has: {}/more/extra.json"),
        ("--train train --data twice", "are the same split"),
        ("--train odd --data odd", "'Art Style' cannot name a split"),
        ("--train train", "give --train and --data, or --split NAME TRAIN DATA"),
        ("", "give --train and --data, or --split NAME TRAIN DATA"),
        ("--split a x y --train train", "leave out --train and --data"),
        ("--split a x y --train b --train c --data d", "leave out --train and --data"),
        ("--split a x y --split b x y --split a x z", "given more than once: a"),
        ("--split a/b x y", "'a/b' cannot name a split"),
        ("--split few nowhere.json test/few.json", "nowhere.json does not exist"),
        (f"--split {'a' * 60} train/few.json test/few.json", "use up to 64 letters"),
    ],
)
def test_what_is_no_split_is_wrong_usage_and_begins_nothing(
    folders: Path, workspace: Path, monkeypatch: pytest.MonkeyPatch, files: str, reason: str
) -> None:
    for name, inside in {
        "bare": ["a.txt"],
        "less": ["few.json"],
        "more": ["few.json", "many.jsonl", "extra.json"],
        "twice": ["few.json", "few.jsonl", "many.json"],
        "odd": ["Art Style.json"],
    }.items():
        (folders / name).mkdir()
        for file in inside:
            (folders / name / file).touch()
    monkeypatch.chdir(folders)

    said = savs_submit("run", "--name", "blink", "--model", "demo", "--workspace", workspace, *files.split())

    assert said.exit_code == 2 and reason.format(folders) in said.stderr
    assert not workspace.exists()


def test_only_run_takes_folders(folders: Path, workspace: Path) -> None:
    said = savs_submit(
        *("extract", "--train", folders / "train", "--name", "x", "--model", "demo", "--workspace", workspace)
    )
    assert said.exit_code == 2 and "is a folder; a JSONL or JSON file is needed" in said.stderr


def test_prefixes_of_a_bucket_are_folders(bucket: str) -> None:
    for key in (
        "train/a.json",
        "train/b.jsonl",
        "test/a.jsonl",
        "test/b.json",
        "test/b/c.json",
        "train/n.txt",
    ):
        store, name = open_parent(f"s3://{bucket}/{key}")
        store.write(name, b"{}")
    place = f"s3://{bucket}"

    found = splits_of(f"{place}/train", f"{place}/test/", [])

    assert found == [
        Split("a", f"{place}/train/a.json", f"{place}/test/a.jsonl"),
        Split("b", f"{place}/train/b.jsonl", f"{place}/test/b.json"),
    ]
    assert splits_of(f"{place}/train/a.json", f"{place}/x.json", [])[0].name is None
    assert manifests_of(f"{place}/train/n.txt", "--data") == [f"{place}/train/n.txt"]
    with pytest.raises(SettingsError, match=r"without \.json or \.jsonl files"):
        splits_of(f"{place}/train", f"{place}/none/", [])


# Commands that are given the name

SPLITS = ("left", "right")


def a_split(split: str, kind: str = "classify", minute: int = 0, after: str | None = None) -> Job:
    """A job of the split `split` of `blink`."""
    job = (
        classify_job(f"blink.{split}", minute, after)
        if kind == "classify"
        else extract_job(f"blink.{split}", minute)
    )
    spec = job.spec.model_copy(update={"split": split})
    return job.model_copy(update={"spec": spec, "job_id": job_id(spec)})


@pytest.fixture
def ledger(workspace: Path) -> Ledger:
    """Two splits of `blink`, unfinished, and `blink.v2`, which is a job and no split."""
    ledger = Ledger(str(workspace))
    for minute, job in enumerate([*map(a_split, SPLITS), classify_job("blink.v2"), classify_job("blinker")]):
        ledger.create_job(
            job.model_copy(update={"submitted": classify_job("x", minute).submitted}), plan_of(2)
        )
    return ledger


def names(ledger: Ledger, name: str) -> list[str]:
    said = savs_submit("status", name, "--workspace", ledger.workspace, "--json")
    return [state["name"] for state in json.loads(said.stdout)]


def test_a_name_stands_for_its_splits_and_for_no_namesake(ledger: Ledger) -> None:
    assert names(ledger, "blink") == ["blink.left", "blink.right"]
    assert names(ledger, "blink.left") == ["blink.left"]
    assert names(ledger, "blink.v2") == ["blink.v2"]
    assert savs_submit("status", "blin", "--workspace", ledger.workspace).exit_code == 2

    assert savs_submit("cancel", "blink", "--workspace", ledger.workspace).exit_code == 0
    cancelled = [job.spec.name for job in ledger.jobs() if ledger.is_cancelled(job.job_id)]
    assert cancelled == ["blink.left", "blink.right"]

    assert savs_submit("delete", "blink", "--yes", "--workspace", ledger.workspace).exit_code == 0
    assert [job.spec.name for job in ledger.jobs()] == ["blink.v2", "blinker"]


def ended(ledger: Ledger, job: Job, *predictions: str) -> dict[str, Any]:
    """Ends `job`, whose rows are all labelled `cat`."""
    found = [row(i, prediction, "cat") for i, prediction in enumerate(predictions)]
    write_outcome(ledger, job, 0, found)
    summary = reduce_job(ledger, job)
    assert summary is not None
    return summary


def test_only_a_split_can_be_compared_with_another_job(ledger: Ledger) -> None:
    for job in ledger.jobs():
        ended(ledger, job, "cat", "dog")
    one = savs_submit("compare", "blink.left", "blink.v2", "--workspace", ledger.workspace)
    several = savs_submit("compare", "blink", "blink.v2", "--workspace", ledger.workspace)
    assert one.exit_code == 0, one.output
    assert several.exit_code == 2
    assert "blink has several splits; give one of them: blink.left, blink.right" in several.stderr


def test_the_newest_job_of_each_split_is_the_one_that_counts(ledger: Ledger) -> None:
    old, other = ledger.jobs("blink")
    spec = old.spec.model_copy(update={"batch_tokens": 450})
    newer = old.model_copy(
        update={"spec": spec, "job_id": job_id(spec), "submitted": classify_job("x", 9).submitted}
    )
    ledger.create_job(newer, plan_of(2))
    for job, prediction in ((old, "old"), (newer, "new"), (other, "other")):
        ended(ledger, job, prediction, prediction)

    found = [line["prediction"] for line in lines_of("blink", Path(ledger.workspace))]

    assert found == ["new", "new", "other", "other"]


def test_who_watches_waits_for_the_splits_that_can_still_end(workspace: Path) -> None:
    # given a split that cannot be fitted, so that nothing of it is labelled, and one that is still run
    ledger = Ledger(str(workspace))
    first = a_split("left", "extract")
    jobs = [first, a_split("left", after=first.job_id), a_split("right")]
    for job in jobs:
        ledger.create_job(job, plan_of(2))
        ledger.activate(job.job_id)
    fail_job(ledger, first, "no two classes are left")
    looks: list[object] = []

    def show(states: list[dict[str, Any]]) -> None:
        looks.append(states)
        if len(looks) == 2:
            ended(ledger, jobs[2], "cat", "dog")

    summaries = follow(ledger, None, jobs, show, Timeouts())

    assert len(looks) == 2
    assert [s["job_id"] for s in summaries] == [first.job_id, jobs[2].job_id]


def test_who_watches_a_job_that_waits_for_another_is_told_when_that_one_fails(workspace: Path) -> None:
    ledger = Ledger(str(workspace))
    first = extract_job()
    waiting = classify_job(after=first.job_id)
    for job in (first, waiting):
        ledger.create_job(job, plan_of(2))
        ledger.activate(job.job_id)
    looks: list[object] = []

    def show(states: list[dict[str, Any]]) -> None:
        looks.append(states)
        if len(looks) == 2:
            fail_job(ledger, first, "no two classes are left")

    assert follow(ledger, None, [waiting], show, Timeouts()) == []
    assert len(looks) == 2


# The table


def summary_of(job: Job, right: int, rows: int) -> dict[str, Any]:
    scores = (
        {"scored": rows, "accuracy": right / rows, "accuracy_interval": wilson(right, rows)} if rows else {}
    )
    return {"job_id": job.job_id} | scores


def test_means_count_splits_or_rows_and_their_intervals_follow_from_the_splits() -> None:
    jobs = [a_split("left"), a_split("right"), a_split("empty")]
    assert all(isinstance(job.spec, ClassifySpec) for job in jobs)
    summaries = [summary_of(jobs[0], 9, 10), summary_of(jobs[1], 20, 90), summary_of(jobs[2], 0, 0)]

    [table] = split_scores([*jobs, classify_job()], summaries)

    assert [split.split for split in table.splits] == ["left", "right", "empty"]
    assert table.splits[2].accuracy is None
    assert table.macro is not None and table.micro is not None
    assert table.macro.accuracy == pytest.approx((9 / 10 + 20 / 90) / 2)
    assert table.micro.accuracy == pytest.approx(29 / 100)
    # each end is as far from the mean as independent errors are together
    (low_a, high_a), (low_b, high_b) = wilson(9, 10), wilson(20, 90)
    for mean, a, b in ((table.macro, 0.5, 0.5), (table.micro, 0.1, 0.9)):
        low, high = mean.accuracy_interval
        below = (a * (9 / 10 - low_a)) ** 2 + (b * (20 / 90 - low_b)) ** 2
        above = (a * (high_a - 9 / 10)) ** 2 + (b * (high_b - 20 / 90)) ** 2
        assert (mean.accuracy - low) ** 2 == pytest.approx(below)
        assert (high - mean.accuracy) ** 2 == pytest.approx(above)


def test_the_mean_of_one_split_is_that_split() -> None:
    [table] = split_scores([job := a_split("left")], [summary_of(job, 7, 9)])
    for mean in (table.macro, table.micro):
        assert mean is not None and mean.accuracy == 7 / 9
        assert mean.accuracy_interval == pytest.approx(wilson(7, 9))


def test_without_a_label_there_is_no_mean() -> None:
    [table] = split_scores([a_split("left")], [])
    assert table.macro is None and table.micro is None

"""`savs-submit run`, `extract`, `classify`, `status`, `list`, `results`: what they print and leave."""

import json
import os
import shlex
from pathlib import Path
from typing import Any

import pytest
from safetensors.numpy import load as load_tensors

from jobs.ledger.ledger import Ledger
from jobs.ledger.results import result_rows
from savs.storage import open_parent
from tests.jobs.conftest import (
    CLASSES,
    EXAMPLES,
    HEADS,
    QUESTION,
    ROWS,
    SHARD,
    Corpus,
    Finished,
    finished,
    read_jsonl,
    run_arguments,
    savs_submit,
    started,
    tree,
    write_jsonl,
)

STAGES = {
    "read",
    "fetch",
    "decode",
    "preprocess",
    "copy",
    "vision",
    "language",
    "forward",
    "readout",
    "write",
}
EXTRACT = ("--heads", str(HEADS), "--shard-size", "8")


def rows_of(done: Finished) -> list[dict[str, Any]]:
    return [json.loads(one) for one in done.rows.splitlines()]


def test_every_item_gets_a_row_as_the_contract_says(calm: Finished, corpus: Corpus) -> None:
    rows = rows_of(calm)
    [artifact] = (calm.workspace / "artifacts" / "shapes").iterdir()
    shown = savs_submit("show", artifact, "--workspace", calm.workspace, "--json")
    digest = json.loads(shown.stdout)["digest"]
    assert [row["index"] for row in rows] == list(range(ROWS))
    for row, item in zip(rows, read_jsonl(corpus.data), strict=True):
        known = {"label"} if "label" in item else set()
        assert (
            set(row)
            == {"index", "id", "task", "media", "prediction", "votes", "confidence", "artifact"} | known
        )
        assert row["artifact"] == digest and len(digest) == 12
        assert row.get("label") == item.get("label")
        assert row["id"] == str(row["index"]) and row["task"] == "shapes"
        assert row["media"] == [str(corpus.folder / item["image"])]
        assert set(row["votes"]) <= set(CLASSES) and min(row["votes"].values()) > 0
        assert sum(row["votes"].values()) == HEADS
        assert row["votes"][row["prediction"]] == max(row["votes"].values())
        assert row["confidence"] == round(row["votes"][row["prediction"]] / HEADS, 6)
    assert sum("label" not in row for row in rows) == ROWS / 5
    assert len({row["prediction"] for row in rows}) > 1, "pictures make no difference"


def test_the_summary_says_what_the_rows_say(calm: Finished) -> None:
    rows, summary = rows_of(calm), calm.summary("classify")
    known = [row for row in rows if "label" in row]
    assert (summary["schema_version"], summary["kind"], summary["status"]) == (1, "classify", "done")
    assert (summary["name"], summary["job_id"]) == ("shapes", calm.classify.job_id)
    assert (summary["rows"], summary["labelled"]) == (ROWS, ROWS)
    assert (summary["failed"], summary["abstained"], summary["errors"]) == (0, 0, {})
    assert summary["classes"] == {
        name: sum(row["prediction"] == name for row in rows)
        for name in sorted({row["prediction"] for row in rows})
    }
    assert summary["scored"] == len(known)
    assert summary["accuracy"] == sum(row["prediction"] == row["label"] for row in known) / len(known)
    for label in CLASSES:
        own = [row["prediction"] for row in known if row["label"] == label]
        assert summary["per_class_accuracy"][label] == own.count(label) / len(own)
        assert summary["confusion"][label] == {name: own.count(name) for name in sorted(set(own))}
    assert set(summary["timings"]["seconds"]) == STAGES
    assert set(summary["timings"]["items_per_second"]) == STAGES
    assert summary["timings"]["tokens_per_worker_second"] > 0 < summary["timings"]["pixels_per_worker_second"]
    assert 0 < summary["timings"]["device_busy"] <= 1
    assert min(summary["timings"]["items_per_second"].values()) > 0
    assert summary["artifact"] == calm.summary("extract")["artifact"]


def test_the_artifact_lies_there_as_the_contract_says(calm: Finished, corpus: Corpus) -> None:
    folder = calm.workspace / "artifacts" / "shapes" / calm.extract.job_id
    assert sorted(p.name for p in folder.iterdir()) == [
        "examples.safetensors",
        "manifest.json",
        "savs.safetensors",
    ]

    tensors = load_tensors(calm.tensors)
    manifest = json.loads((folder / "manifest.json").read_bytes())

    assert {name: (str(t.dtype), t.shape) for name, t in tensors.items()} == {
        "heads": ("int32", (HEADS, 2)),
        "centroids": ("float32", (len(CLASSES), HEADS, 16)),
    }
    assert manifest["schema_version"] == 2 and manifest["classes"] == list(CLASSES)
    assert (manifest["name"], manifest["version"]) == ("shapes", calm.extract.job_id)
    assert manifest["question"] == QUESTION and manifest["readout"] == "reference"
    model = manifest["origin"]["model"]
    assert model["id"] == calm.extract.spec.model and model["revision"] == "local"
    assert len(model["fingerprint"]) == 64 and model["dtype"] == "float32"
    assert len(manifest["scores"]) == 12, "one per head of the model"
    assert max(manifest["scores"]) <= EXAMPLES
    examples = read_jsonl(corpus.train)
    assert [one["label"] for one in manifest["training"]] == [one["label"] for one in examples]
    assert all(len(one["sha256"]) == 1 and len(one["sha256"][0]) == 64 for one in manifest["training"])
    assert {"savs", "torch", "transformers"} <= set(manifest["libraries"])
    assert manifest["created"].startswith(f"{calm.extract.submitted:%Y-%m-%dT%H:%M:%S}")
    best = calm.summary("extract")["heads"]
    assert best == tensors["heads"].tolist()


def test_the_ledger_lies_there_as_the_contract_says(calm: Finished) -> None:
    for job, shards, suffix in ((calm.extract, 6, "safetensors"), (calm.classify, 10, "jsonl")):
        folder = calm.workspace / "jobs" / job.job_id
        names = {p.name for p in folder.iterdir()}
        assert names == {"job.json", "shards.json", "parts", "commits", "summary.json"}
        commits = sorted(p.name for p in (folder / "commits").iterdir())
        assert commits == [f"{number:07d}.json" for number in range(shards)]
        parts = sorted(p.name for p in (folder / "parts").iterdir())
        assert [part[:8] for part in parts] == [f"{number:07d}-" for number in range(shards)]
        assert {part.rsplit(".")[-1] for part in parts} == {suffix}
    assert calm.classify.job_id.startswith("shapes-classify-") and len(calm.classify.job_id) == 24


def test_a_run_tells_people_how_it_went(corpus: Corpus, qwen2_vl: Path, workspace: Path) -> None:
    result = savs_submit(*run_arguments(corpus, qwen2_vl, workspace))

    assert result.exit_code == 0, result.output
    assert f"loading {qwen2_vl}" in result.stderr.replace("\n", "")
    assert "extract shapes" in result.stderr and "classify shapes" in result.stderr
    assert "40 rows: 40 labelled, 0 failed" in result.stdout
    assert "on 32 rows with a label" in result.stdout
    for name in CLASSES:
        assert name in result.stdout
    assert str(workspace / "jobs" / finished(workspace).classify.job_id) in result.stdout


def test_json_is_all_that_is_on_standard_output(
    corpus: Corpus, qwen2_vl: Path, workspace: Path, calm: Finished
) -> None:
    with started(*run_arguments(corpus, qwen2_vl, workspace), "--json") as process:
        stdout, stderr = process.communicate(timeout=120)

    assert process.returncode == 0, stderr
    first, second = json.loads(stdout)
    assert (first["kind"], second["kind"]) == ("extract", "classify")
    # and what a process of its own did is what this process did, byte for byte
    done = finished(workspace)
    assert [first, second] == [done.summary("extract"), done.summary("classify")]
    assert done.rows == calm.rows and done.tensors == calm.tensors and done.outcome() == calm.outcome()


def test_extract_and_then_classify_give_what_run_gives(
    corpus: Corpus, qwen2_vl: Path, workspace: Path, calm: Finished
) -> None:
    result = savs_submit(
        *("extract", "--train", corpus.train, "--name", "shapes", "--model", qwen2_vl),
        *("--workspace", workspace, *EXTRACT, "--readout", "reference", "--json"),
    )
    assert result.exit_code == 0, result.output
    [summary] = json.loads(result.stdout)
    assert summary["artifact"] == str(workspace / "artifacts" / "shapes" / summary["job_id"])

    # given the artifact by its name, by its version, and by its folder
    for number, address in enumerate(["shapes", f"shapes/{summary['job_id']}", summary["artifact"]]):
        result = savs_submit(
            *("classify", "--data", corpus.data, "--artifact", address, "--name", f"use-{number}"),
            *("--workspace", workspace, "--json"),
        )
        assert result.exit_code == 0, result.output
        [labelled] = json.loads(result.stdout)
        # then the model is the one that made it, and every row is as before
        assert labelled["artifact"] == summary["artifact"]
        rows = [json.loads(one) for one in result_rows(Ledger(str(workspace)), labelled["job_id"])]
        assert rows == rows_of(calm)


def test_an_artifact_of_another_model_is_refused(
    corpus: Corpus, qwen2_5_vl: Path, calm: Finished, workspace: Path
) -> None:
    result = savs_submit(
        *("classify", "--data", corpus.data, "--artifact", calm.summary("extract")["artifact"]),
        *("--name", "mixed", "--model", qwen2_5_vl, "--workspace", workspace),
    )
    assert result.exit_code == 1 and "was made with" in result.stderr
    assert list(workspace.glob("jobs/*/commits/*")) == []


def test_rows_without_a_question_are_asked_the_artifacts(
    corpus: Corpus, calm: Finished, workspace: Path, tmp_path: Path
) -> None:
    # given the corpus without questions, beside the same pictures
    bare = [{"image": str(corpus.folder / row["image"])} for row in read_jsonl(corpus.data)]
    result = savs_submit(
        *("classify", "--data", write_jsonl(tmp_path / "bare.jsonl", bare), "--name", "bare"),
        *("--artifact", calm.summary("extract")["artifact"], "--workspace", workspace, "--batch-tokens", 200),
    )

    assert result.exit_code == 0, result.output
    [job] = Ledger(str(workspace)).jobs()
    got = [json.loads(one) for one in result_rows(Ledger(str(workspace)), job.job_id)]
    assert [row["votes"] for row in got] == [row["votes"] for row in rows_of(calm)]
    assert all("label" not in row for row in got) and "accuracy" not in result.stdout


def test_examples_that_ask_differently_leave_rows_without_a_question_unanswered(
    corpus: Corpus, qwen2_vl: Path, workspace: Path, tmp_path: Path
) -> None:
    # given examples with two questions, and a corpus in which every second row has one
    train = [
        row | {"image": str(corpus.folder / row["image"]), "question": f"Which of {i % 2 + 3} shapes?"}
        for i, row in enumerate(read_jsonl(corpus.train))
    ]
    data = [
        {"image": str(picture)} | ({"question": QUESTION} if i % 2 else {})
        for i, picture in enumerate(corpus.pictures[:8])
    ]
    result = savs_submit(
        *("run", "--train", write_jsonl(tmp_path / "t.jsonl", train), "--model", qwen2_vl, "--name", "two"),
        *("--data", write_jsonl(tmp_path / "d.jsonl", data), "--workspace", workspace, *EXTRACT),
    )

    assert result.exit_code == 3, result.output
    kinds = [row.get("error", {}).get("kind") for row in rows_of(finished(workspace))]
    assert kinds == ["no_question", None] * 4


def test_the_same_command_again_loads_no_model_and_changes_nothing(
    corpus: Corpus, qwen2_vl: Path, calm: Finished
) -> None:
    before = tree(calm.workspace)
    for command in (run_arguments(corpus, qwen2_vl, calm.workspace), ["resume", "shapes"]):
        where = [] if "--workspace" in command else ["--workspace", calm.workspace]
        result = savs_submit(*command, *where)
        assert result.exit_code == 0, result.output
        assert "loading" not in result.output and "40 rows: 40 labelled" in result.stdout
        assert tree(calm.workspace) == before


def test_a_model_that_fails_the_self_test_runs_no_job_unless_it_is_skipped(
    corpus: Corpus, stretched: Path, workspace: Path
) -> None:
    # given a model whose answers depend on what else is in a batch
    arguments = ["extract", "--train", corpus.train, "--name", "shapes", "--model", stretched]
    refused = savs_submit(*arguments, "--workspace", workspace, *EXTRACT)
    # then nothing is run
    assert refused.exit_code == 1
    assert "the self-test failed" in refused.stderr and "--skip-self-test" in refused.stderr
    # and all of it where the one who asks knows better
    assert not (workspace / "jobs").exists()
    resumed = savs_submit(*arguments, "--workspace", workspace, *EXTRACT, "--skip-self-test", "--json")
    assert resumed.exit_code == 0
    [summary] = json.loads(resumed.stdout)
    assert (summary["status"], summary["labelled"]) == ("done", EXAMPLES)
    # whatever command says so
    for command in ("run", "extract", "classify", "resume", "retry"):
        assert "--skip-self-test" in savs_submit(command, "--help").stdout


def test_another_number_of_heads_is_another_job(corpus: Corpus, qwen2_vl: Path, workspace: Path) -> None:
    def extract(heads: int) -> dict[str, Any]:
        result = savs_submit(
            *("extract", "--train", corpus.train, "--name", "shapes", "--model", qwen2_vl),
            *("--workspace", workspace, "--heads", heads, "--readout", "reference", "--json"),
        )
        assert result.exit_code == 0, result.output
        summary: dict[str, Any] = json.loads(result.stdout)[0]
        return summary

    three, seven, again = extract(3), extract(7), extract(3)

    assert three == again and three["job_id"] != seven["job_id"]
    assert (len(three["heads"]), len(seven["heads"])) == (3, 7)
    assert len(Ledger(str(workspace)).jobs("shapes")) == 2
    # the name alone means the newest of both; submitted in the same second, either is
    assert len(list((workspace / "artifacts" / "shapes").iterdir())) == 2


@pytest.mark.parametrize(("shard_size", "batch_size"), [(1, 4), (7, 4), (40, 4), (4, 1), (4, 3), (40, 16)])
def test_how_rows_are_cut_does_not_change_what_they_say(
    corpus: Corpus, calm: Finished, workspace: Path, shard_size: int, batch_size: int
) -> None:
    result = savs_submit(
        *("classify", "--data", corpus.data, "--artifact", calm.summary("extract")["artifact"]),
        *("--name", "cut", "--workspace", workspace),
        *("--shard-size", shard_size, "--batch-tokens", 50 * batch_size),
    )
    assert result.exit_code == 0, result.output
    [job] = Ledger(str(workspace)).jobs()
    assert len(Ledger(str(workspace)).planned(job.job_id)) == -(-ROWS // shard_size)
    assert b"".join(result_rows(Ledger(str(workspace)), job.job_id)) == calm.rows


def test_how_examples_are_cut_does_not_change_what_is_fitted(
    corpus: Corpus, qwen2_vl: Path, calm: Finished, workspace: Path
) -> None:
    result = savs_submit(
        *("extract", "--train", corpus.train, "--name", "shapes", "--model", qwen2_vl),
        *("--workspace", workspace, "--heads", HEADS, "--shard-size", 12, "--batch-tokens", 200),
        *("--readout", "reference"),
    )
    assert result.exit_code == 0, result.output
    [path] = workspace.glob("artifacts/shapes/*/savs.safetensors")
    assert path.read_bytes() == calm.tensors


def test_status_and_list_say_how_far_jobs_are(calm: Finished) -> None:
    for command in (["list"], ["status", "shapes"]):
        result = savs_submit(*command, "--workspace", calm.workspace, "--json")
        assert result.exit_code == 0
        first, second = json.loads(result.stdout)
        assert (first["job_id"], second["job_id"]) == (calm.extract.job_id, calm.classify.job_id)
        assert (first["kind"], first["status"]) == ("extract", "done")
        assert (first["rows"], first["rows_done"], first["failed"]) == (EXAMPLES, EXAMPLES, 0)
        assert (second["rows"], second["rows_done"]) == (ROWS, ROWS)
        assert (second["shards"], second["shards_done"]) == (ROWS // SHARD, ROWS // SHARD)
        assert second["accuracy"] == calm.summary("classify")["accuracy"]
        for text in savs_submit(*command, "--workspace", calm.workspace).stdout.splitlines()[1:]:
            assert ("6/6" in text and "done" in text) or ("10/10" in text and "done" in text)
    by_id = savs_submit("status", calm.classify.job_id, "--workspace", calm.workspace, "--json")
    assert [one["kind"] for one in json.loads(by_id.stdout)] == ["classify"]


def test_a_workspace_without_jobs_lists_none(workspace: Path) -> None:
    assert savs_submit("list", "--workspace", workspace).stdout.strip() == "no jobs"
    assert json.loads(savs_submit("list", "--workspace", workspace, "--json").stdout) == []
    assert not workspace.exists()


def test_results_gives_the_rows_as_they_are(calm: Finished, tmp_path: Path) -> None:
    result = savs_submit("results", "shapes", "--workspace", calm.workspace)
    assert result.exit_code == 0 and result.stdout_bytes == calm.rows
    out = tmp_path / "labels.jsonl"
    out.write_text("old")
    result = savs_submit("results", "shapes", "--workspace", calm.workspace, "--out", out)
    assert result.exit_code == 0 and result.stdout == "" and out.read_bytes() == calm.rows


def test_results_are_written_to_a_bucket(calm: Finished, bucket: str) -> None:
    where = f"s3://{bucket}/labels/today.jsonl"
    result = savs_submit("results", "shapes", "--workspace", calm.workspace, "--out", where)
    assert result.exit_code == 0 and result.stdout == ""
    store, key = open_parent(where)
    assert store.read(key) == calm.rows
    # and a bucket that does not exist is named
    nowhere = savs_submit("results", "shapes", "--workspace", calm.workspace, "--out", "s3://none/x.jsonl")
    assert nowhere.exit_code == 2 and "--out: there is no bucket 'none'" in nowhere.stderr


def test_results_go_to_the_standard_output_by_its_name_too(calm: Finished) -> None:
    with started("results", "shapes", "--workspace", calm.workspace, "--out", "/dev/stdout") as process:
        stdout, stderr = process.communicate(timeout=60)
    assert (stdout.encode(), stderr) == (calm.rows, "")


def test_results_go_through_a_pipe_that_is_not_replaced(calm: Finished, tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with started("results", "shapes", "--workspace", calm.workspace, "--out", pipe):
        assert pipe.read_bytes() == calm.rows
    assert pipe.is_fifo()


def test_results_of_what_has_none_are_wrong_usage(
    corpus: Corpus, qwen2_vl: Path, calm: Finished, tmp_path: Path
) -> None:
    result = savs_submit("results", "other", "--workspace", calm.workspace)
    assert result.exit_code == 2 and "it has shapes" in result.stderr
    result = savs_submit("results", calm.extract.job_id, "--workspace", calm.workspace)
    assert result.exit_code == 2 and "has no job that labels a corpus" in result.stderr
    nowhere = tmp_path / "no" / "such" / "folder" / "labels.jsonl"
    result = savs_submit("results", "shapes", "--workspace", calm.workspace, "--out", nowhere)
    assert result.exit_code == 2 and str(nowhere) in result.stderr.replace("\n", "")


def test_the_workspace_may_come_from_the_environment_or_a_file(
    calm: Finished, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "savs.toml").write_text(f'workspace = "{calm.workspace}"\n')
    assert len(json.loads(savs_submit("list", "--json").stdout)) == 2
    # the environment goes before the file, and the option before both
    monkeypatch.setenv("SAVS_WORKSPACE", str(tmp_path / "empty"))
    assert json.loads(savs_submit("list", "--json").stdout) == []
    assert len(json.loads(savs_submit("list", "--json", "--workspace", calm.workspace).stdout)) == 2


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('worksapce = "x"', "there is no setting 'worksapce'; did you mean 'workspace'?"),
        ("[pool]\nsweep_every = 3", "there is no setting 'pool'; known are: workspace, broker_url"),
        ("workspace = ", "savs.toml: "),
    ],
)
def test_a_key_that_is_no_setting_is_an_error_that_names_the_nearest(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, line: str, said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "savs.toml").write_text(line)

    result = savs_submit("list", "--workspace", tmp_path)

    assert result.exit_code == 2 and said in result.stderr


def test_the_command_that_a_run_prints_gets_its_labels(
    corpus: Corpus, qwen2_vl: Path, calm: Finished, tmp_path: Path
) -> None:
    shown = savs_submit(*run_arguments(corpus, qwen2_vl, calm.workspace)).stdout
    [line] = [line for line in shown.splitlines() if "labels: " in line]

    told = shlex.split(line.partition("labels: ")[2])

    assert told[0] == "savs-submit"
    assert savs_submit(*told[1:]).stdout_bytes == calm.rows


def test_a_workspace_in_a_bucket_gives_the_same_rows(
    corpus: Corpus, qwen2_vl: Path, calm: Finished, bucket: str
) -> None:
    workspace = f"s3://{bucket}/results"
    arguments = run_arguments(corpus, qwen2_vl, Path("unused"))
    arguments[arguments.index("unused")] = workspace

    result = savs_submit(*arguments, "--json")

    assert result.exit_code == 0, result.output
    first, second = json.loads(result.stdout)
    ledger = Ledger(workspace)
    assert b"".join(result_rows(ledger, second["job_id"])) == calm.rows
    assert ledger.store.read(f"artifacts/shapes/{first['job_id']}/savs.safetensors") == calm.tensors
    # and again: nothing is done twice
    before = sorted(ledger.store.list(""))
    assert json.loads(savs_submit(*arguments, "--json").stdout) == [first, second]
    assert sorted(ledger.store.list("")) == before

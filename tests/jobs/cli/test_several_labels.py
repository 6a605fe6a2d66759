"""Lists of labels through the command line, with the demo model."""

import json
import re
import shutil
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, f1_score

from jobs.ledger.ledger import Ledger
from jobs.submit.steps import with_pilot
from jobs.submit.submission import classify_job, plan_job
from savs.readout.decision import Decision
from tests.jobs.conftest import Corpus, read_jsonl, savs_submit, tree, write_jsonl
from tests.jobs.run.pilots import Piloted
from tests.jobs.run.several_labels import COLOURS, EXAMPLES, ITEMS, SHAPES, arguments, make_corpus

LABELS = sorted((*COLOURS, *SHAPES))


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    """For tests that only read it."""
    return make_corpus(tmp_path_factory.mktemp("several") / "seen")


@pytest.fixture(scope="module")
def run(seen: Corpus, tmp_path_factory: pytest.TempPathFactory) -> Piloted:
    """One run with its pilot. For tests that only read it."""
    workspace = tmp_path_factory.mktemp("several") / "results"
    result = savs_submit(*arguments(seen, workspace))
    assert result.exit_code == 0, result.output
    return Piloted(workspace)


@pytest.fixture
def copied(run: Piloted, tmp_path: Path) -> Path:
    """A workspace with that run, for a test that changes it."""
    return Path(shutil.copytree(run.workspace, tmp_path / "results"))


def refused(*command: object) -> str:
    """What a command says that ends before the model is loaded and writes no job."""
    result = savs_submit(*command)
    assert result.exit_code != 0 and "loading" not in result.output, result.output
    return result.stderr


def test_a_row_has_all_labels_that_reach_their_threshold_and_a_probability_of_each(
    run: Piloted, seen: Corpus
) -> None:
    rows = run.parsed

    assert [row["index"] for row in rows] == list(range(ITEMS))
    for row, given in zip(rows, read_jsonl(seen.data), strict=True):
        assert not row.keys() & {"prediction", "votes", "confidence", "margin", "entropy", "error"}
        assert sorted(row["scores"]) == LABELS
        assert [*row["scores"].values()] == sorted(row["scores"].values(), reverse=True)
        assert row["predictions"] == [name for name in row["scores"] if name in row["predictions"]]
        assert row.get("label") == given.get("label")
    counts = {len(row["predictions"]) for row in rows}
    assert {0, 2} <= counts, "pictures make no difference"


def test_labels_are_told_far_better_than_by_their_frequency(run: Piloted) -> None:
    scores = run.summary("classify")["multi"]

    assert scores["scored"] == ITEMS * 4 // 5
    base = np.mean([one["support"] / scores["scored"] for one in scores["labels"].values()])
    assert base < 0.35
    assert scores["mean_average_precision"] > 0.85  # 0.99 when this was written
    assert scores["macro_f1"] > 0.75 and scores["exact_match"] > 0.5


def test_the_summary_has_the_scores_that_scikit_learn_finds_in_the_rows(run: Piloted) -> None:
    rows = [row for row in run.parsed if "label" in row]
    truth = np.array([[name in row["label"] for name in LABELS] for row in rows])
    said = np.array([[name in row["predictions"] for name in LABELS] for row in rows])
    p = np.array([[round(row["scores"][name], 3) for name in LABELS] for row in rows])

    scores = run.summary("classify")["multi"]

    assert scores["exact_match"] == pytest.approx((truth == said).all(1).mean())
    assert scores["micro_f1"] == pytest.approx(f1_score(truth, said, average="micro"))
    assert scores["macro_f1"] == pytest.approx(f1_score(truth, said, average="macro"))
    want = average_precision_score(truth, p, average="macro")
    assert scores["mean_average_precision"] == pytest.approx(want, abs=1e-9)
    low, high = scores["exact_match_interval"]
    assert low < scores["exact_match"] < high
    counts = Counter(name for row in run.parsed for name in row["predictions"])
    assert run.summary("classify")["classes"] == dict(sorted(counts.items()))


def test_rows_of_the_pilot_are_not_read_again_and_teach_no_labels(run: Piloted) -> None:
    assert len(run.sampled) == ITEMS
    work = [
        json.loads(path.read_bytes())["work"]
        for path in sorted((run.folder("classify") / "commits").iterdir())
    ]
    assert not any(one.get("forwards") for one in work)
    found = [json.loads((run.artifact(kind) / "manifest.json").read_bytes()) for kind in ("extract", "pilot")]
    for manifest in found:
        assert (manifest["readout"], manifest["choice"]["unlabelled"]) == ("multi", 0)
        assert (
            manifest["training"][0]["label"] == ["red", "circle"] and manifest["training"][10]["label"] == []
        )


@pytest.mark.kill
@pytest.mark.parametrize("readout", ["ridge", "auto"])
def test_a_run_that_was_interrupted_ends_with_the_rows_of_a_calm_one(
    run: Piloted, seen: Corpus, tmp_path: Path, readout: str
) -> None:
    # given a workspace from which the outcomes of some shards and all summaries are missing
    workspace = tmp_path / "results"
    assert savs_submit(*arguments(seen, workspace, "--readout", readout)).exit_code == 0
    calm = Piloted(workspace).rows
    job = Piloted(workspace).job("classify").job_id
    for number in (0, 3):
        (workspace / "jobs" / job / "commits" / f"{number:07d}.json").unlink()
    (workspace / "jobs" / job / "summary.json").unlink()

    resumed = savs_submit("resume", "seen", "--workspace", workspace)

    assert resumed.exit_code == 0, resumed.output
    assert Piloted(workspace).rows == calm
    assert readout != "auto" or calm == run.rows
    # and the same command again changes no byte
    before = tree(workspace)
    assert savs_submit(*arguments(seen, workspace, "--readout", readout)).exit_code == 0
    assert tree(workspace) == before


def test_the_command_line_shows_a_table_of_the_labels(run: Piloted, seen: Corpus, copied: Path) -> None:
    again = savs_submit(*arguments(seen, copied))
    shown = savs_submit("show", "seen", "--workspace", copied)
    listed = savs_submit("artifacts", "--workspace", copied)

    assert again.exit_code == shown.exit_code == listed.exit_code == 0
    multi = run.summary("classify")["multi"]
    head = f"average precision {multi['mean_average_precision']:.3f}, macro F1 {multi['macro_f1']:.3f}"
    assert head in again.stdout and "all labels right" in again.stdout
    table = [line.split() for line in again.stdout.splitlines()]
    assert ["label", "labels", "predicted", "recall", "precision", "F1", "AP"] in table
    [red] = [cells for cells in table if cells[:1] == ["red"]]
    assert (
        red[1] == str(multi["labels"]["red"]["support"]) and red[5] == f"{multi['labels']['red']['f1']:.3f}"
    )
    assert "readout: multi (the labels are lists)" in shown.stdout
    assert "with all labels right of 48, average precision" in shown.stdout
    assert "layer 0, head" in shown.stdout


@pytest.mark.parametrize(
    "option",
    [("--abstain-below", 0.5), ("--target-precision", 0.9), ("--prior", "uniform"), ("--prior", "estimated")],
)
def test_options_of_one_label_per_item_are_refused_before_the_model_is_loaded(
    seen: Corpus, copied: Path, tmp_path: Path, option: tuple[object, ...]
) -> None:
    said = refused(*arguments(seen, tmp_path / "other", *option))
    assert "one label per item, and the labels of the examples are lists; leave the option out" in said
    assert not (tmp_path / "other" / "jobs").exists()

    adapt = ["--adapt"] if "estimated" in option or "--target-precision" in option else []
    how = ("--artifact", "seen", "--name", "again", "--workspace", copied, *adapt, *option)
    assert "leave the option out" in refused("classify", "--data", seen.data, *how)


@pytest.mark.parametrize("readout", ["reference", "corpus"])
def test_readouts_of_one_label_per_item_are_refused_before_the_model_is_loaded(
    seen: Corpus, tmp_path: Path, readout: str
) -> None:
    said = refused(*arguments(seen, tmp_path / "other", "--readout", readout))

    assert (
        f"--readout {readout}: it gives each item one label, and the label in {seen.train}:1 is a list"
        in said
    )
    assert "use --readout auto" in said


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        (
            {3: "red"},
            "the label in line 4 is one text and that in line 1 is a list; write lists everywhere",
        ),
        ({i: ["red"] for i in range(EXAMPLES)}, "every label is 'red'"),
        ({i: [] for i in range(EXAMPLES)}, "every list of labels is empty"),
        (
            {i: ["red", str(i % 2)] for i in range(EXAMPLES)},
            "all 48 rows have the label 'red'; add rows",
        ),
        ({i: [f"{i}"] for i in range(EXAMPLES)}, "each of the 48 labels is that of one row only"),
        (
            {0: [f"{i}" for i in range(600)], 1: [f"{i}" for i in range(500, 1100)]},
            "1107 labels in lists; at most 1000 are possible",
        ),
        ({0: ["red", "red"]}, "'label' has 'red' twice"),
    ],
)
def test_examples_that_cannot_be_fitted_are_refused_before_the_model_is_loaded(
    seen: Corpus, tmp_path: Path, changes: dict[int, object], why: str
) -> None:
    rows = read_jsonl(seen.train)
    for number, label in changes.items():
        rows[number]["label"] = label
    train = write_jsonl(seen.folder / f"{tmp_path.name}.jsonl", rows)

    said = refused(
        "extract", "--train", train, "--name", "x", "--model", "demo", "--workspace", tmp_path / "ws"
    )

    assert re.search(why, said), said


def test_doubtful_lists_are_told_when_they_are_planned(seen: Corpus, tmp_path: Path) -> None:
    rows = read_jsonl(seen.train)
    rows += [
        rows[0] | {"label": ["circle", "red"]},  # the same in another order
        rows[1] | {"label": ["green"]},
        {"image": "pictures/item-000.png", "question": "?", "label": ["Red", "alone"]},
    ]
    train = write_jsonl(seen.folder / "doubtful.jsonl", rows)

    said = savs_submit("plan", "--train", train, "--json")

    [found] = json.loads(said.stdout)
    few, same, contradiction, copy = found["warnings"]
    assert "2 of 9 classes have only one example: 'Red' (line 51), 'alone' (line 51)" in few
    assert "'red' (line 1) and 'Red' (line 51)" in same
    assert contradiction.startswith(f"{train}:50: the list of labels differs from that of line 2,")
    assert copy.startswith(f"{train}:49: the media, question and list of labels are those of line 1;")


def test_a_label_of_one_text_counts_as_a_list_of_one(seen: Corpus, copied: Path) -> None:
    rows = [row | {"label": "red"} for row in read_jsonl(seen.data)[:8]]
    data = write_jsonl(seen.folder / "texts.jsonl", rows)

    how = ("--data", data, "--artifact", "seen", "--name", "texts", "--workspace", copied, "--json")
    said = savs_submit("classify", *how)

    assert said.exit_code == 0, said.output
    [summary] = json.loads(said.stdout)
    assert summary["multi"]["labels"]["red"]["support"] == 8
    found = savs_submit("results", "texts", "--workspace", copied).stdout.splitlines()
    assert [json.loads(line)["label"] for line in found] == ["red"] * 8


def test_a_row_that_fails_has_no_predictions_and_can_be_retried(seen: Corpus, copied: Path) -> None:
    rows = [*read_jsonl(seen.data)[1:4], {"image": "pictures/later.png", "question": "?", "label": []}]
    data = write_jsonl(seen.folder / "later.jsonl", rows)
    how = ("--data", data, "--artifact", "seen", "--name", "later", "--workspace", copied, "--json")
    [before] = json.loads(savs_submit("classify", *how).stdout)
    [*_, failed] = map(json.loads, savs_submit("results", "later", "--workspace", copied).stdout.splitlines())

    shutil.copy(seen.pictures[10], seen.folder / "pictures" / "later.png")
    retried = savs_submit("retry", "later", "--workspace", copied, "--json")

    assert (failed["predictions"], failed["label"], failed["error"]["kind"]) == ([], [], "missing_media")
    assert "prediction" not in failed and "votes" not in failed
    assert (before["labelled"], before["failed"], before["multi"]["scored"]) == (3, 1, 3)
    assert retried.exit_code == 0, retried.output
    [after] = json.loads(retried.stdout)
    assert (after["labelled"], after["failed"], after["multi"]["scored"]) == (4, 0, 4)


def single(seen: Corpus, workspace: Path) -> None:
    """Fits the shapes alone, one text per row."""
    rows = [row | {"label": row["label"][1]} for row in read_jsonl(seen.train) if row["label"]]
    train = write_jsonl(seen.folder / "shapes.jsonl", rows)
    how = ("--train", train, "--name", "shape", "--model", "demo", "--workspace", workspace)
    assert savs_submit("extract", *how).exit_code == 0


def test_a_corpus_of_lists_is_refused_for_one_label_per_item(seen: Corpus, copied: Path) -> None:
    single(seen, copied)

    how = ("--name", "x", "--workspace", copied)
    said = refused("classify", "--data", seen.data, "--artifact", "shape", *how)
    asked = refused("classify", "--data", seen.data, "--zero-shot", "--model", "demo", *how)
    ran = refused(
        *("run", "--train", seen.folder / "shapes.jsonl", "--data", seen.data, "--model", "demo", *how)
    )

    for text in (said, asked, ran):
        assert f"{seen.data}:2: the label is a list, and" in text and "write one text per row" in text
    assert "and --zero-shot gives each item one label" in asked


def test_several_labels_are_not_compared_with_one_but_with_several(seen: Corpus, copied: Path) -> None:
    single(seen, copied)
    rows = [row | {"label": row["label"][1]} for row in read_jsonl(seen.data)[:10] if row.get("label")]
    data = write_jsonl(seen.folder / "few.jsonl", rows)
    for artifact in ("shape", "seen"):
        how = ("--data", data, "--artifact", artifact, "--name", f"by-{artifact}", "--workspace", copied)
        assert savs_submit("classify", *how).exit_code == 0
    [first] = (copied / "artifacts" / "seen").glob("seen-extract-*")
    how = ("--data", data, "--artifact", first, "--name", "first", "--workspace", copied)
    assert savs_submit("classify", *how).exit_code == 0

    said = savs_submit("compare", "by-shape", "by-seen", "--workspace", copied)
    both = savs_submit("compare", "first", "by-seen", "--workspace", copied, "--json")

    assert said.exit_code != 0
    assert "gives items several labels and by-shape-classify-" in said.stderr
    assert "so they cannot be compared; compare two jobs of the same kind" in said.stderr
    assert both.exit_code == 0, both.output
    found = map(json.loads, savs_submit("results", "by-seen", "--workspace", copied).stdout.splitlines())
    right = [set(row["predictions"]) == {row["label"]} for row in found]
    assert json.loads(both.stdout)["accuracies"][1] == pytest.approx(np.mean(right))


def test_refitting_corrects_lists_drops_labels_and_follows_one_text_per_row(
    seen: Corpus, copied: Path
) -> None:
    rows = read_jsonl(seen.train)
    rows[0]["label"], rows[1]["label"] = ["red"], rows[1]["label"][::-1]
    corrected = write_jsonl(seen.folder / "corrected.jsonl", rows)

    def refit(*more: object) -> tuple[dict[str, Any], dict[str, Any]]:
        found = savs_submit("refit", "seen", "--workspace", copied, "--json", *more)
        assert found.exit_code == 0 and "loading" not in found.output, found.output
        said = json.loads(found.stdout)
        return said, json.loads((Path(said["artifact"]) / "manifest.json").read_bytes())

    said, manifest = refit("--train", corrected)
    assert (said["examples"], said["relabelled"]) == (EXAMPLES, 1)
    assert [row["label"] for row in manifest["training"]] == [row["label"] for row in rows]
    assert refit("--train", corrected)[0]["artifact"] == said["artifact"]

    said, manifest = refit("--drop-class", "star")
    assert (said["examples"], said["relabelled"]) == (EXAMPLES, 0)
    assert "star" not in manifest["classes"] and ["green"] in [row["label"] for row in manifest["training"]]

    # and a readout of one label per item is refused
    failed = savs_submit("refit", "seen", "--readout", "reference", "--workspace", copied)
    assert failed.exit_code != 0 and "use 'auto' or 'ridge' (--readout auto)" in failed.stderr

    # and so are examples of one label, which would count as having no other
    single(seen, copied)
    failed = savs_submit("refit", "seen", "--with", "shape", "--workspace", copied)
    assert failed.exit_code == 2 and "refit one of them with --train" in failed.stderr

    said, manifest = refit("--train", seen.folder / "shapes.jsonl")
    assert manifest["readout"] != "multi" and manifest["classes"] == list(SHAPES)


def test_scores_without_leaks_are_those_of_the_other_rows(seen: Corpus, copied: Path) -> None:
    rows = [*read_jsonl(seen.data)[1:5], read_jsonl(seen.train)[0] | {"label": ["cross"]}]
    data = write_jsonl(seen.folder / "leaked.jsonl", rows)

    how = ("--data", data, "--artifact", "seen", "--name", "leaked", "--workspace", copied)
    said = savs_submit("classify", *how)

    assert said.exit_code == 0, said.output
    [path] = (copied / "jobs").glob("leaked-classify-*")
    summary = json.loads((path / "summary.json").read_bytes())
    assert (summary["multi"]["scored"], summary["without_leaks"]["multi"]["scored"]) == (5, 4)
    assert summary["without_leaks"]["multi"]["exact_match"] > summary["multi"]["exact_match"]
    assert "without them: average precision" in said.stdout


def test_artifacts_of_both_kinds_share_a_pass(seen: Corpus, copied: Path) -> None:
    single(seen, copied)
    rows = [row | {"label": row["label"][1]} for row in read_jsonl(seen.data)[1:10] if row.get("label")]
    data = write_jsonl(seen.folder / "shared.jsonl", rows)

    how = ("--artifact", "seen", "--artifact", "shape", "--name", "both", "--workspace", copied)
    said = savs_submit("classify", "--data", data, *how)

    assert said.exit_code == 0, said.output
    assert "no labels, several per row, or have not ended" in said.stdout
    found = list(map(json.loads, savs_submit("results", "both", "--workspace", copied).stdout.splitlines()))
    by_task = {task: [row for row in found if row["task"] == task] for task in ("seen", "shape")}
    assert len(by_task["seen"]) == len(by_task["shape"]) == len(rows)
    for several, one in zip(by_task["seen"], by_task["shape"], strict=True):
        assert sorted(several["scores"]) == LABELS and one["prediction"] in SHAPES


@pytest.mark.parametrize("adapt", [False, True])
def test_a_job_that_was_written_without_a_look_at_its_artifact_fails_with_the_reason(
    seen: Corpus, copied: Path, adapt: bool
) -> None:
    # given a job as a pool gets it whose manifest and artifact only its workers can read
    ledger = Ledger(str(copied))
    [artifact] = (copied / "artifacts" / "seen").glob("seen-extract-*")
    how = {"shard_size": None, "batch_tokens": None, "decision": Decision(abstain_below=0.5)}
    jobs = [classify_job("late", "demo", str(seen.data), str(artifact), **how)]
    for job in with_pilot(ledger, jobs[0]) if adapt else jobs:
        ledger.create_job(job, *plan_job(ledger, job))

    said = savs_submit("resume", "late", "--workspace", copied)

    assert said.exit_code != 0 and "leave the option out" in said.output, said.output


def test_labels_with_few_examples_are_named(seen: Corpus, tmp_path: Path) -> None:
    rows = [
        row
        for i, row in enumerate(read_jsonl(seen.train))
        if i >= EXAMPLES // 2 or "blue" not in row["label"]
    ]
    corpus = replace(seen, train=write_jsonl(seen.folder / "rare.jsonl", rows))

    result = savs_submit(*arguments(corpus, tmp_path / "results"))

    assert result.exit_code == 0, result.output
    [warning] = Piloted(tmp_path / "results").summary("classify")["warnings"]
    assert warning.startswith(
        "labels with fewer than 10 examples, whose probabilities and thresholds are rough"
    )
    assert "1 of 7 ('blue')" in warning

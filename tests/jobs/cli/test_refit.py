"""`savs-submit refit`: an artifact is fitted again from its stored vectors; only new examples are read."""

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from savs.artifact.artifact import load_examples
from tests.jobs.conftest import CLASSES, Corpus, make_corpus, read_jsonl, savs_submit, tree, write_jsonl
from tests.jobs.run.pilots import Piloted, many_rows, pilot_arguments

HOSTILE = "\x1b[31m[red]\u202eevil\x07"


@pytest.fixture
def fitted(own_corpus: Corpus, qwen2_vl: Path, workspace: Path) -> Path:
    """A workspace with one artifact of the corpus' examples; its address."""
    return extract(own_corpus, own_corpus.train, qwen2_vl, workspace)


def extract(
    corpus: Corpus, train: Path, model: Path, workspace: Path, name: str = "shapes", *more: str
) -> Path:
    result = savs_submit(
        *("extract", "--train", train, "--name", name, "--model", model, "--workspace", workspace, *more)
    )
    assert result.exit_code == 0, result.output
    [found] = (workspace / "artifacts" / name).iterdir()
    return found


def refit(artifact: object, workspace: Path, *more: object, code: int = 0) -> Any:
    """What refitting prints as JSON."""
    result = savs_submit("refit", artifact, "--workspace", workspace, "--json", *more)
    assert result.exit_code == code, result.output
    assert "loading" not in result.output
    return json.loads(result.stdout)


def manifest_of(url: object) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((Path(str(url)) / "manifest.json").read_bytes())
    return found


def relabelled(corpus: Corpus, changes: dict[int, str]) -> Path:
    rows = read_jsonl(corpus.train)
    for number, label in changes.items():
        rows[number]["label"] = label
    return write_jsonl(corpus.folder / "corrected.jsonl", rows)


def test_corrected_labels_make_a_new_version_and_leave_the_old_one(
    own_corpus: Corpus, fitted: Path, workspace: Path
) -> None:
    before = tree(workspace)
    corrected = relabelled(own_corpus, {0: "star", 5: "circle"})

    said = refit("shapes", workspace, "--train", corrected)

    assert (said["examples"], said["relabelled"]) == (24, 2)
    assert Path(said["artifact"]).parent == fitted.parent and said["artifact"] != str(fitted)
    assert [row["label"] for row in manifest_of(said["artifact"])["training"]] == [
        row["label"] for row in read_jsonl(corrected)
    ]
    assert {name: tree(workspace)[name] for name in before} == before
    # and it is the newest of its name, which labels a corpus
    result = savs_submit(
        *("classify", "--data", own_corpus.data, "--artifact", "shapes", "--name", "again"),
        *("--workspace", workspace, "--json"),
    )
    assert result.exit_code == 0 and json.loads(result.stdout)[0]["artifact"] == said["artifact"]


def test_the_same_command_twice_writes_nothing_the_second_time(
    own_corpus: Corpus, fitted: Path, workspace: Path
) -> None:
    corrected = relabelled(own_corpus, {0: "star"})
    first = refit(fitted, workspace, "--train", corrected, "--readout", "ridge")
    before = tree(workspace)

    assert refit(fitted, workspace, "--train", corrected, "--readout", "ridge") == first
    assert tree(workspace) == before
    # nor if the artifact is given by its name, whose newest version is the new one
    again = refit("shapes", workspace, "--train", corrected, "--readout", "ridge")
    assert again["artifact"] == first["artifact"] and again["relabelled"] == 0
    assert tree(workspace) == before


def test_examples_without_media_are_found_by_their_question(qwen2_vl: Path, workspace: Path) -> None:
    place = workspace.parent
    rows = [{"question": f"Is {n} even?", "label": ("yes", "no")[n % 2]} for n in range(8)]
    train = write_jsonl(place / "text.jsonl", rows)
    how = ("--name", "even", "--model", qwen2_vl, "--workspace", workspace)
    assert savs_submit("extract", "--train", train, *how).exit_code == 0

    said = refit("even", workspace, "--train", write_jsonl(train, [*rows[:7], rows[7] | {"label": "yes"}]))

    assert (said["examples"], said["relabelled"]) == (8, 1)


def test_examples_without_a_question_are_found_by_the_one_that_is_given(
    own_corpus: Corpus, qwen2_vl: Path, workspace: Path
) -> None:
    rows = [{"image": row["image"], "label": row["label"]} for row in read_jsonl(own_corpus.train)]
    train = write_jsonl(own_corpus.folder / "unasked.jsonl", rows)
    extract(own_corpus, train, qwen2_vl, workspace, "shapes", "--question", "Which shape?")
    changed = [rows[0] | {"label": CLASSES[1]}, *rows[1:]]

    said = refit(
        *("shapes", workspace, "--question", "Which shape?"),
        *("--train", write_jsonl(own_corpus.folder / "corrected.jsonl", changed)),
    )

    assert (said["examples"], said["relabelled"]) == (len(rows), 1)


def test_fewer_rows_of_the_examples_are_a_smaller_artifact(
    own_corpus: Corpus, fitted: Path, workspace: Path
) -> None:
    few = write_jsonl(own_corpus.folder / "few.jsonl", read_jsonl(own_corpus.train)[9:])

    said = refit(fitted, workspace, "--train", few)

    assert (said["examples"], said["relabelled"]) == (15, 0)
    kept = load_examples(said["artifact"]).examples
    whole = load_examples(str(fitted)).examples
    assert kept is not None and whole is not None
    assert (kept.vectors.values == whole.vectors.values[9:]).all() and kept.shown == whole.shown[9:]


@pytest.mark.parametrize(
    ("options", "chosen", "heads"),
    [
        (("--readout", "reference", "--heads", 4), "reference", 4),
        (("--readout", "reference"), "reference", None),
        (("--heads", 3), "ridge", 3),
        (("--readout", "ridge"), "ridge", None),
        (("--readout", "hec"), "hec", 12),  # of 12
        (("--readout", "hec", "--heads", 2), "hec", 2),
    ],
)
def test_another_readout_and_other_heads(
    fitted: Path, workspace: Path, options: tuple[object, ...], chosen: str, heads: int | None
) -> None:
    said = refit(fitted, workspace, *options)

    assert said["choice"]["chosen"] == manifest_of(said["artifact"])["readout"] == chosen
    shown = json.loads(savs_submit("show", said["artifact"], "--workspace", workspace, "--json").stdout)
    assert heads is None or len(shown["heads"]) == heads


def test_a_class_can_be_left_out_but_not_one_that_is_not_there_nor_too_many(
    fitted: Path, workspace: Path
) -> None:
    said = refit(fitted, workspace, "--drop-class", "star")

    assert manifest_of(said["artifact"])["classes"] == ["circle", "square"] and said["examples"] == 16
    unknown = savs_submit("refit", fitted, "--workspace", workspace, "--drop-class", "cube")
    assert unknown.exit_code == 2
    assert "'cube' is not a class; the classes are 'circle', 'square', 'star'" in unknown.stderr
    before = tree(workspace)
    for dropped in (("star", "circle"), CLASSES):
        more = [part for name in dropped for part in ("--drop-class", name)]
        result = savs_submit("refit", fitted, "--workspace", workspace, *more)
        assert result.exit_code in (1, 2) and "Traceback" not in result.stderr and result.stderr
    assert tree(workspace) == before


def test_the_examples_of_artifacts_are_merged(
    own_corpus: Corpus, fitted: Path, qwen2_vl: Path, workspace: Path
) -> None:
    rows = read_jsonl(own_corpus.data)[1:5]
    more = write_jsonl(
        own_corpus.folder / "more.jsonl", [row | {"label": f"new {n % 2}"} for n, row in enumerate(rows)]
    )
    extract(own_corpus, more, qwen2_vl, workspace, "more")

    said = refit("shapes", workspace, "--with", "more")

    assert said["examples"] == 28
    assert refit(fitted, workspace, "--with", "more", "--with", "more", "--with", fitted)["examples"] == 28
    assert manifest_of(said["artifact"])["classes"] == [*CLASSES, "new 0", "new 1"]


def test_artifacts_of_different_models_are_not_merged(
    own_corpus: Corpus, fitted: Path, qwen2_5_vl: Path, workspace: Path
) -> None:
    extract(own_corpus, own_corpus.train, qwen2_5_vl, workspace, "other")
    before = tree(workspace)

    result = savs_submit("refit", "shapes", "--with", "other", "--workspace", workspace)

    assert result.exit_code == 2 and "'other' was made with another model" in result.stderr
    assert tree(workspace) == before


def test_an_artifact_without_vectors_is_refused(fitted: Path, workspace: Path) -> None:
    manifest = manifest_of(fitted)
    (fitted / "manifest.json").write_text(json.dumps(manifest | {"stored_vectors": None}))

    result = savs_submit("refit", "shapes", "--workspace", workspace)

    assert result.exit_code == 1 and "has no vectors of its examples: extract it again" in result.stderr


def test_new_examples_go_through_the_model_and_only_those(
    own_corpus: Corpus, fitted: Path, workspace: Path
) -> None:
    # given corrected labels, and two examples that are not stored
    rows = read_jsonl(relabelled(own_corpus, {0: "star"}))
    new = [row | {"label": "star"} for row in read_jsonl(own_corpus.data)[3:5]]
    train = write_jsonl(own_corpus.folder / "longer.jsonl", [*rows, *new])

    result = savs_submit("refit", "shapes", "--train", train, "--workspace", workspace, "--json")

    assert result.exit_code == 0, result.output
    assert "24 examples are stored; 2 are new and are read by" in result.stderr
    [summary] = json.loads(result.stdout)
    assert (summary["kind"], summary["rows"], summary["failed"]) == ("extract", 26, 0)
    # and the vectors of the others are the stored ones
    found, stored = load_examples(summary["artifact"]).examples, load_examples(str(fitted)).examples
    assert found is not None and stored is not None
    assert (found.vectors.values[:24] == stored.vectors.values).all()
    assert manifest_of(summary["artifact"])["training"][0]["label"] == "star"
    # and the model has read two items: their tokens are a small part of what reading all would take
    [first] = [s for s in workspace.glob("jobs/*/summary.json") if summary["job_id"] not in str(s)]
    all_of_them = json.loads(first.read_bytes())["timings"]
    assert tokens(summary["timings"]) < tokens(all_of_them) / 6


def test_new_examples_are_fitted_and_shown_as_the_stored_ones_were(
    own_corpus: Corpus, qwen2_vl: Path, workspace: Path
) -> None:
    # given a vote of few heads on pictures that are shown smaller
    how = ("--readout", "reference", "--heads", "3", "--max-pixels", "3136")
    extract(own_corpus, own_corpus.train, qwen2_vl, workspace, "shapes", *how)
    new = [row | {"label": "star"} for row in read_jsonl(own_corpus.data)[3:5]]
    train = write_jsonl(own_corpus.folder / "longer.jsonl", [*read_jsonl(own_corpus.train), *new])

    result = savs_submit("refit", "shapes", "--train", train, "--workspace", workspace, "--json")

    assert result.exit_code == 0, result.output
    [summary] = json.loads(result.stdout)
    assert summary["readout"]["chosen"] == "reference" and len(summary["heads"]) == 3


def test_a_version_of_a_long_name_is_found(own_corpus: Corpus, qwen2_vl: Path, workspace: Path) -> None:
    name = "n" * 60
    extract(own_corpus, own_corpus.train, qwen2_vl, workspace, name)
    version = refit(name, workspace, "--readout", "reference")["artifact"].rpartition("/")[2]

    assert savs_submit("show", f"{name}/{version}", "--workspace", workspace).exit_code == 0


def tokens(timings: dict[str, Any]) -> float:
    """How many tokens a job's shards have read."""
    return float(timings["tokens_per_worker_second"] * timings["worker_seconds"])


def test_a_version_that_learned_from_a_corpus_does_so_again(
    own_corpus: Corpus, qwen2_vl: Path, workspace: Path
) -> None:
    result = savs_submit(*pilot_arguments(own_corpus, qwen2_vl, workspace, many_rows(own_corpus)))
    assert result.exit_code == 0, result.output
    artifact = Piloted(workspace).artifact("pilot")

    said = refit(artifact, workspace, "--train", relabelled(own_corpus, {0: "star"}))

    assert (said["choice"]["chosen"], said["choice"]["unlabelled"]) == ("corpus", 800)


def test_nothing_of_the_model_is_imported_if_no_example_is_new(
    own_corpus: Corpus, fitted: Path, workspace: Path
) -> None:
    # given a model that is gone
    corrected = relabelled(own_corpus, {0: "star"})
    code = (
        "import sys; from jobs.cli import main\n"
        "try: main(sys.argv[1:])\n"
        "except SystemExit as end: assert not end.code, end.code\n"
        "print(*[m for m in ('transformers', 'decord', 'celery') if m in sys.modules])"
    )

    arguments = ["refit", str(fitted), "--train", str(corrected), "--workspace", str(workspace)]
    done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True)

    assert done.returncode == 0, done.stderr
    assert "1 with another label" in done.stdout and done.stdout.splitlines()[-1] == ""


@pytest.mark.parametrize("command", ["refit", "show"])
def test_hostile_labels_and_ids_are_printed_safely(
    tmp_path: Path, qwen2_vl: Path, workspace: Path, command: str
) -> None:
    corpus = make_corpus(tmp_path / "hostile")
    rows = read_jsonl(corpus.train)
    for number, row in enumerate(rows):
        row |= {"label": f"{HOSTILE}{number % 2}", "question_id": f"{HOSTILE}-{number}"}
    artifact = extract(corpus, write_jsonl(corpus.train, rows), qwen2_vl, workspace)

    result = savs_submit(command, artifact, "--workspace", workspace)

    assert result.exit_code == 0, result.output
    assert "suspects" in result.output and "evil" in result.output
    assert not {*"\x1b\x07\u202e"} & set(result.output)
    wrong = savs_submit("refit", artifact, "--drop-class", HOSTILE, "--workspace", workspace)
    assert wrong.exit_code == 2 and not {*"\x1b\x07\u202e"} & set(wrong.output)


def test_show_prints_the_readout_why_its_table_and_its_suspects(
    own_corpus: Corpus, fitted: Path, workspace: Path
) -> None:
    shown = savs_submit("show", "shapes", "--workspace", workspace).stdout
    card = json.loads(savs_submit("show", "shapes", "--workspace", workspace, "--json").stdout)

    assert "readout: ridge (no corpus to learn from)" in shown
    for score in card["choice"]["table"]:
        assert f"{score['readout']}, {score['how']}: {score['accuracy']:.3f} of 24" in shown
    assert f"suspects: {len(card['suspects'])} examples" in shown
    labels = [row["label"] for row in read_jsonl(own_corpus.train)]
    for suspect in card["suspects"]:
        assert suspect["label"] == labels[suspect["row"]] != suspect["likelier"]


def test_a_moved_workspace_can_be_refitted(fitted: Path, workspace: Path, tmp_path: Path) -> None:
    shutil.move(workspace, tmp_path / "moved")

    said = refit("shapes", tmp_path / "moved", "--readout", "reference")

    assert said["artifact"].startswith(str(tmp_path / "moved" / "artifacts" / "shapes"))

"""A pilot reads a part of the corpus first; the readout learns from it, and nobody reads it again."""

import json
import math
import shutil
import signal
from pathlib import Path
from typing import Any

import pytest

from jobs.ledger.ledger import Ledger
from savs.storage import open_store
from tests.jobs.conftest import (
    CLASSES,
    EXAMPLES,
    QUESTION,
    Corpus,
    Finished,
    blocked,
    commits,
    make_corpus,
    orphans,
    read_jsonl,
    savs_submit,
    started,
    tree,
    write_jsonl,
)
from tests.jobs.run.pilots import ALONE_PICTURE, ITEMS, Piloted, many_rows, pilot_arguments

CUT = ("--shard-size", 100)
KEPT = Path(__file__).parents[2] / "data" / "workspace-0.1.0" / "bucket" / "work"


@pytest.fixture(scope="module")
def many(corpus: Corpus) -> Path:
    return many_rows(corpus)


@pytest.fixture(scope="module")
def piloted(corpus: Corpus, many: Path, qwen2_vl: Path, tmp_path_factory: pytest.TempPathFactory) -> Piloted:
    """One run that nobody disturbed. For tests that only read it."""
    workspace = tmp_path_factory.mktemp("piloted") / "results"
    result = savs_submit(*pilot_arguments(corpus, qwen2_vl, workspace, many, *CUT))
    assert result.exit_code == 0, result.output
    return Piloted(workspace)


def small_run(
    corpus: Corpus, model: Path, workspace: Path, *more: object, code: int = 0
) -> list[dict[str, Any]]:
    """The summaries of a run on the corpus' own 40 rows, all of which its pilot reads."""
    result = savs_submit(*pilot_arguments(corpus, model, workspace, corpus.data, "--json", *more))
    assert result.exit_code == code, result.output
    return json.loads(result.stdout)


def test_a_run_ends_with_a_row_for_every_item_and_its_probabilities(piloted: Piloted, many: Path) -> None:
    rows = piloted.parsed

    assert [row["index"] for row in rows] == list(range(ITEMS))
    assert [row["id"] for row in rows] == [item["question_id"] for item in read_jsonl(many)]
    for row in rows:
        assert row["votes"] == {} and set(row["scores"]) <= set(CLASSES)
        shares = [*row["scores"].values()]
        assert sum(shares) == pytest.approx(1, abs=3e-6) and shares == sorted(shares, reverse=True)
        assert row["prediction"] == next(iter(row["scores"])) and row["confidence"] == shares[0]
        assert row["margin"] == pytest.approx(shares[0] - shares[1], abs=2e-6)
        assert row["entropy"] == pytest.approx(-sum(p * math.log(p) for p in shares), abs=1e-4)
    assert len({row["prediction"] for row in rows}) > 1, "pictures make no difference"
    chosen = piloted.summary("pilot")["readout"]
    assert (chosen["chosen"], chosen["why"]) == ("corpus", "800 rows of the corpus to learn from")
    assert piloted.summary("classify")["artifact"] == str(piloted.artifact("pilot"))


def test_rows_that_look_alike_are_labelled_alike_whoever_reads_them(piloted: Piloted) -> None:
    # given pictures of which the pilot and the classify job read copies
    read = set(piloted.sampled)
    assert len(read) == 800
    rows = piloted.parsed
    for own in (row for row in rows if row["index"] not in read):
        other = next(r for r in rows if r["index"] in read and r["index"] % 40 == own["index"] % 40)
        assert other["prediction"] == own["prediction"]
        assert other["scores"] == pytest.approx(own["scores"], abs=1e-3)


def test_the_rows_of_the_pilot_are_not_read_again(
    own_corpus: Corpus, qwen2_vl: Path, workspace: Path, piloted: Piloted
) -> None:
    # given a run that is killed in its classify job
    data = many_rows(own_corpus)
    arguments = pilot_arguments(own_corpus, qwen2_vl, workspace, data, *CUT)
    killed_at(own_corpus.folder / ALONE_PICTURE, arguments)
    assert 0 < commits(workspace, "classify") < 9
    # and the pictures of all rows that its pilot has read are gone
    sampled = set(Piloted(workspace).sampled)
    rows = read_jsonl(data)
    left = {rows[i]["image"] for i in range(ITEMS) if i not in sampled}
    gone = [i for i in range(ITEMS) if rows[i]["image"] not in left]
    assert gone and set(gone) <= sampled
    for picture in {rows[i]["image"] for i in gone}:
        (own_corpus.folder / picture).unlink()

    result = savs_submit(*arguments)

    # then it ends with the calm run's labels
    assert result.exit_code == 0, result.output
    differing = ("media",)
    assert [{k: v for k, v in row.items() if k not in differing} for row in Piloted(workspace).parsed] == [
        {k: v for k, v in row.items() if k not in differing} for row in piloted.parsed
    ]


def test_a_corpus_that_its_pilot_has_read_is_labelled_without_its_media(
    own_corpus: Corpus, qwen2_vl: Path, workspace: Path
) -> None:
    # given a run that is killed between its pilot and its first label
    arguments = pilot_arguments(own_corpus, qwen2_vl, workspace, own_corpus.data)
    small_run(own_corpus, qwen2_vl, workspace)
    calm, done = Piloted(workspace).rows, Piloted(workspace)
    shutil.rmtree(workspace / "jobs" / done.job("classify").job_id / "commits")
    (workspace / "jobs" / done.job("classify").job_id / "summary.json").unlink()
    for picture in own_corpus.pictures:
        picture.unlink()

    result = savs_submit(*arguments)

    assert result.exit_code == 0, result.output
    assert done.rows == calm
    # and its rate is not told, since it read nothing
    assert "items_per_worker_second" not in done.summary("classify")["timings"]


def test_the_same_command_again_changes_no_byte(
    corpus: Corpus, many: Path, qwen2_vl: Path, piloted: Piloted
) -> None:
    before = tree(piloted.workspace)

    for command in (pilot_arguments(corpus, qwen2_vl, piloted.workspace, many, *CUT), ["resume", "shapes"]):
        where = [] if "--workspace" in command else ["--workspace", piloted.workspace]
        result = savs_submit(*command, *where)

        assert result.exit_code == 0, result.output
        assert "loading" not in result.output
        assert tree(piloted.workspace) == before


@pytest.mark.parametrize("size", [100, 37])
def test_neither_the_workspace_nor_the_size_of_shards_changes_rows_and_artifacts(
    corpus: Corpus, many: Path, qwen2_vl: Path, workspace: Path, piloted: Piloted, size: int
) -> None:
    result = savs_submit(*pilot_arguments(corpus, qwen2_vl, workspace, many, "--shard-size", size))

    assert result.exit_code == 0, result.output
    other = Piloted(workspace)
    assert other.rows == piloted.rows
    assert other.tensors == piloted.tensors
    for one, two in zip(other.outcome(), piloted.outcome(), strict=True):
        assert one | {"shards": 0} == two | {"shards": 0}


def test_a_row_that_the_pilot_could_not_read_is_one_error_row_and_can_be_retried(
    own_corpus: Corpus, qwen2_vl: Path, workspace: Path
) -> None:
    # given a picture that is not there
    picture = own_corpus.pictures[7]
    data = picture.read_bytes()
    picture.unlink()
    _, pilot, classify = small_run(own_corpus, qwen2_vl, workspace, code=3)
    assert (pilot["failed"], classify["failed"], classify["rows"]) == (1, 1, 40)
    failed = [row for row in Piloted(workspace).parsed if "error" in row]
    assert [row["index"] for row in failed] == [7]

    # if it is back
    picture.write_bytes(data)
    result = savs_submit("retry", "shapes", "--workspace", workspace, "--json")

    # then the row of the corpus is read, and no other
    assert result.exit_code == 3, result.output  # the pilot remains without it
    assert "1 row is retried" in result.stderr
    summary = json.loads(result.stdout)[-1]
    assert (summary["kind"], summary["failed"], summary["labelled"]) == ("classify", 0, 40)
    assert [row["index"] for row in Piloted(workspace).parsed] == list(range(40))


def test_a_small_corpus_is_labelled_by_the_ridge_which_says_why(
    corpus: Corpus, qwen2_vl: Path, workspace: Path
) -> None:
    _, pilot, classify = small_run(corpus, qwen2_vl, workspace)

    why = "only 40 rows of the corpus to learn from; 200 are needed"
    assert (pilot["readout"]["chosen"], pilot["readout"]["why"]) == ("ridge", why)
    choice = json.loads((Piloted(workspace).artifact("pilot") / "manifest.json").read_bytes())["choice"]
    assert (choice["asked"], choice["chosen"], choice["why"], choice["unlabelled"]) == (
        "auto",
        "ridge",
        why,
        0,
    )
    assert classify["labelled"] == 40


def test_few_examples_are_voted_on_by_as_many_heads_as_were_asked_for(
    corpus: Corpus, qwen2_vl: Path, workspace: Path
) -> None:
    few = write_jsonl(corpus.folder / "few.jsonl", read_jsonl(corpus.train)[:6])
    arguments = pilot_arguments(corpus, qwen2_vl, workspace, corpus.data, "--heads", 3)
    arguments[arguments.index(str(corpus.train))] = str(few)

    result = savs_submit(*arguments)

    assert result.exit_code == 0, result.output
    assert all(sum(row["votes"].values()) == 3 for row in Piloted(workspace).parsed)


def killed_at(picture: Path, arguments: list[str]) -> None:
    """Runs the command and kills it at this picture."""
    with blocked(picture) as block, started(*arguments) as process:
        block.wait_for_reader()
        process.send_signal(signal.SIGKILL)
        process.communicate()
    assert process.returncode == -signal.SIGKILL


@pytest.mark.parametrize(
    ("moment", "again"),
    [
        ("pilot", "resume"),
        ("fit", "same command"),
        pytest.param("classify", "resume", marks=pytest.mark.kill),
    ],
)
def test_a_killed_run_ends_with_the_rows_of_a_calm_one(
    corpus: Corpus, many: Path, qwen2_vl: Path, workspace: Path, piloted: Piloted, moment: str, again: str
) -> None:
    arguments = pilot_arguments(corpus, qwen2_vl, workspace, many, *CUT)
    # given a run that is killed in its pilot, before the pilot's fit, or in its classify job
    if moment == "fit":
        assert savs_submit(*arguments).exit_code == 0
        forget_the_fit(Piloted(workspace))
    else:
        killed_at(corpus.pictures[9] if moment == "pilot" else corpus.folder / ALONE_PICTURE, arguments)
    assert bool(commits(workspace, "classify")) == (moment == "classify")
    assert bool([*workspace.glob("jobs/*-pilot-*/summary.json")]) == (moment == "classify")
    before = tree(workspace)

    command = ["resume", "shapes", "--workspace", str(workspace)] if again == "resume" else arguments
    result = savs_submit(*command)

    # then it ends with what the calm one has, and nothing that was there is written again
    assert result.exit_code == 0, result.output
    done = Piloted(workspace)
    assert done.rows == piloted.rows
    assert done.tensors == piloted.tensors
    assert done.outcome() == piloted.outcome()
    after = tree(workspace)
    assert {name: after[name] for name in before} == before
    assert orphans(workspace) == []


def forget_the_fit(done: Piloted) -> None:
    """Removes what a run writes after the last commit of its pilot."""
    for kind in ("extract", "pilot", "classify"):
        assert (done.folder(kind) / "summary.json").exists()
    for name in ("commits", "parts"):
        shutil.rmtree(done.folder("classify") / name)
    shutil.rmtree(done.artifact("pilot"))
    (done.folder("classify") / "summary.json").unlink()
    (done.folder("pilot") / "answers.safetensors").unlink()
    (done.folder("pilot") / "summary.json").unlink()


def test_a_corpus_is_labelled_after_its_pilot_was_deleted(
    corpus: Corpus, many: Path, qwen2_vl: Path, workspace: Path, piloted: Piloted
) -> None:
    # given a run whose classify job was not begun, and whose pilot is deleted
    shutil.copytree(piloted.workspace, workspace)
    late = workspace / "jobs" / piloted.job("classify").job_id
    for path in ("commits", "parts"):
        shutil.rmtree(late / path)
    (late / "summary.json").unlink()
    pilot = piloted.job("pilot").job_id
    result = savs_submit("delete", pilot, "--yes", "--workspace", workspace)
    assert result.exit_code == 0, result.output

    result = savs_submit("resume", late.name, "--workspace", workspace)

    # then its artifact labels all rows
    assert result.exit_code == 0, result.output
    rows = savs_submit("results", "shapes", "--workspace", workspace).stdout.splitlines()
    found, calm = [json.loads(row) for row in rows], piloted.parsed
    assert [row["prediction"] for row in found] == [row["prediction"] for row in calm]
    for one, two in zip(found, calm, strict=True):
        assert one["scores"] == pytest.approx(two["scores"], abs=1e-3)


def test_an_artifact_is_adapted_to_another_corpus(
    corpus: Corpus, many: Path, qwen2_vl: Path, workspace: Path, calm: Finished
) -> None:
    # given an artifact of another workspace that was fitted as published
    artifact = calm.summary("extract")["artifact"]
    result = savs_submit(
        *("classify", "--data", many, "--artifact", artifact, "--adapt", "--name", "later"),
        *("--workspace", workspace, "--json"),
    )

    assert result.exit_code == 0, result.output
    pilot, classify = json.loads(result.stdout)
    assert [pilot["kind"], classify["kind"]] == ["pilot", "classify"]
    assert pilot["readout"]["chosen"] == "corpus" and classify["labelled"] == ITEMS
    assert classify["artifact"] == str(workspace / "artifacts" / "later" / pilot["job_id"])
    # which remains as it was
    assert sorted(p.name for p in Path(artifact).parent.iterdir()) == [Path(artifact).name]


def test_an_artifact_without_stored_vectors_cannot_be_adapted_and_nothing_is_begun(
    corpus: Corpus, workspace: Path, calm: Finished, tmp_path: Path
) -> None:
    # given an artifact of this model that an earlier savs made
    old = tmp_path / "old"
    shutil.copytree(calm.summary("extract")["artifact"], old)
    (old / "examples.safetensors").unlink()
    manifest = json.loads((old / "manifest.json").read_bytes())
    for name in ("choice", "suspects", "stored_vectors"):
        del manifest[name]
    (old / "manifest.json").write_text(json.dumps(manifest | {"schema_version": 1}))

    result = savs_submit(
        *("classify", "--data", corpus.data, "--artifact", old, "--adapt", "--name", "later"),
        *("--workspace", workspace),
    )

    assert result.exit_code != 0
    assert "stored no vectors of its examples; extract it again, or leave out --adapt" in result.stderr
    assert "loading" not in result.output and not workspace.exists()


def test_an_artifact_of_0_1_0_cannot_be_adapted(corpus: Corpus, workspace: Path) -> None:
    [artifact] = (KEPT / "artifacts" / "strokes").iterdir()
    assert open_store(str(artifact)).exists("manifest.json")

    result = savs_submit(
        *("classify", "--data", corpus.data, "--artifact", artifact, "--adapt", "--name", "later"),
        *("--workspace", workspace),
    )

    assert result.exit_code != 0
    assert "stored no vectors of its examples" in result.stderr
    assert "loading" not in result.output and not workspace.exists()


def test_training_rows_are_found_among_the_rows_that_the_pilot_read(
    own_corpus: Corpus, qwen2_vl: Path, workspace: Path
) -> None:
    # given examples in the corpus: a file, the bytes of another, and bytes with another question
    rows = read_jsonl(own_corpus.data)
    rows[3]["image"] = "pictures/train-05.png"
    own_corpus.pictures[12].write_bytes((own_corpus.folder / "pictures" / "train-11.png").read_bytes())
    own_corpus.pictures[20].write_bytes((own_corpus.folder / "pictures" / "train-12.png").read_bytes())
    rows[20]["question"] = "Which shape is it not?"
    write_jsonl(own_corpus.data, rows)

    _, _, classify = small_run(own_corpus, qwen2_vl, workspace)

    assert [(row["index"], row["training"]) for row in classify["leaks"]["rows"]] == [(3, "5"), (12, "11")]
    assert classify["leaks"]["verified"] == 2
    assert classify["without_leaks"]["scored"] == classify["scored"] - 2


def test_a_corpus_that_is_asked_another_question_is_warned_of_twice(
    own_corpus: Corpus, qwen2_vl: Path, workspace: Path
) -> None:
    rows = read_jsonl(own_corpus.data)
    write_jsonl(own_corpus.data, [row | {"question": "What do you see?"} for row in rows])

    extract, pilot, classify = small_run(own_corpus, qwen2_vl, workspace)

    for summary in (pilot, classify):
        [warning] = [w for w in summary["warnings"] if "another question" in w]
        assert warning.startswith("40 of 40 rows of the pilot are asked another question than the examples")
        assert "'What do you see?'" in warning
    assert not any("question" in warning for warning in extract["warnings"])


def test_after_a_failed_extract_job_pilot_and_classify_are_not_run(
    own_corpus: Corpus, qwen2_vl: Path, workspace: Path
) -> None:
    # given examples of which one class cannot be read
    for i in range(0, EXAMPLES, 3):
        (own_corpus.folder / "pictures" / f"train-{i:02d}.png").unlink()

    result = savs_submit(*pilot_arguments(own_corpus, qwen2_vl, workspace, own_corpus.data))

    assert result.exit_code == 1
    ids = {job.spec.kind: job.job_id for job in Ledger(str(workspace)).jobs()}
    assert f"{ids['extract']}: failed" in result.stdout
    for kind in ("pilot", "classify"):
        assert f"{ids[kind]}: not run, because the job before it is not done" in result.output
    states = json.loads(savs_submit("status", "shapes", "--json", "--workspace", workspace).stdout)
    assert [state["status"] for state in states] == ["failed", "blocked", "blocked"]


def test_a_pilot_without_a_readable_row_leaves_the_corpus_to_be_tried(
    own_corpus: Corpus, qwen2_vl: Path, workspace: Path
) -> None:
    for picture in own_corpus.pictures:
        picture.unlink()

    result = savs_submit(
        *pilot_arguments(own_corpus, qwen2_vl, workspace, own_corpus.data, "--max-failure-rate", 1)
    )

    assert result.exit_code == 1, result.output
    assert [row["error"]["kind"] for row in Piloted(workspace).parsed] == ["missing_media"] * 40
    assert Piloted(workspace).summary("pilot")["readout"]["chosen"] == "ridge"


def test_a_question_that_only_the_artifact_has_is_asked_in_the_pilot(
    tmp_path: Path, qwen2_vl: Path, workspace: Path
) -> None:
    corpus = make_corpus(tmp_path / "asked")
    other = make_corpus(tmp_path / "unasked")
    rows = read_jsonl(other.data)
    assert all(row.pop("question") == QUESTION for row in rows)
    write_jsonl(other.data, rows)

    small_run(corpus, qwen2_vl, workspace)
    small_run(other, qwen2_vl, tmp_path / "other")

    asked, unasked = Piloted(workspace).parsed, Piloted(tmp_path / "other").parsed
    assert [row["scores"] for row in asked] == [row["scores"] for row in unasked]

"""What is known before the model runs is said before it is loaded, and nothing is written."""

import json
import os
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result

from tests.jobs.conftest import (
    QUESTION,
    ROWS,
    Corpus,
    Finished,
    finished,
    read_jsonl,
    run_arguments,
    savs_submit,
    tree,
    write_jsonl,
)


def without_question(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{name: value for name, value in row.items() if name != "question"} for row in rows]


def refused(said: Result, workspace: Path, *texts: str) -> None:
    """One message, exit code 2, no model loaded, no job written."""
    assert said.exit_code == 2, said.output
    assert all(text in said.stderr for text in texts), said.stderr
    assert "loading" not in said.output and said.stdout == ""
    assert not (workspace / "jobs").exists()


@pytest.fixture
def asked_twice(own_corpus: Corpus) -> Corpus:
    """Examples with two questions, and a corpus without one."""
    train = read_jsonl(own_corpus.train)
    train[5]["question"] = "What do you see?"
    write_jsonl(own_corpus.train, train)
    write_jsonl(own_corpus.data, without_question(read_jsonl(own_corpus.data)))
    return own_corpus


def test_rows_without_a_question_need_examples_with_one(
    asked_twice: Corpus, qwen2_vl: Path, workspace: Path
) -> None:
    said = savs_submit(*run_arguments(asked_twice, qwen2_vl, workspace))

    questions = f"its training rows have several: {QUESTION!r}, 'What do you see?'"
    refused(said, workspace, "no row has a question, and " + questions, "add a 'question' to each row")


def test_an_artifact_of_several_questions_needs_rows_with_theirs(
    asked_twice: Corpus, qwen2_vl: Path, workspace: Path, tmp_path: Path
) -> None:
    where = ("--model", qwen2_vl, "--workspace", tmp_path / "fitted", "--heads", 5)
    assert savs_submit("extract", "--train", asked_twice.train, "--name", "two", *where).exit_code == 0
    [artifact] = (tmp_path / "fitted" / "artifacts" / "two").iterdir()
    classify = ("classify", "--artifact", artifact, "--name", "labels", "--workspace", workspace)

    said = savs_submit(*classify, "--data", asked_twice.data)

    refused(said, workspace, "no row has a question, and artifact 'two' was fitted on several")
    # and of rows of which some have none, that is said before they fail
    rows = read_jsonl(asked_twice.data)
    rows = [row | {"question": QUESTION} if i % 4 else row for i, row in enumerate(rows)]
    said = savs_submit(*classify, "--data", write_jsonl(asked_twice.data, rows))
    assert said.exit_code == 3
    warning, _ = said.stderr.split("loading")
    assert f"{asked_twice.data}: 10 of {ROWS} rows have no question and will fail" in warning
    assert finished_errors(workspace) == {"no_question": 10}


def finished_errors(workspace: Path) -> dict[str, int]:
    [summary] = workspace.glob("jobs/*-classify-*/summary.json")
    return {kind: one["rows"] for kind, one in json.loads(summary.read_bytes())["errors"].items()}


def test_zero_shot_rows_without_a_question_need_the_option(
    own_corpus: Corpus, qwen2_vl: Path, workspace: Path
) -> None:
    write_jsonl(own_corpus.data, without_question(read_jsonl(own_corpus.data)))
    ask = ("classify", "--zero-shot", "--data", own_corpus.data, "--name", "asked", "--model", qwen2_vl)

    refused(savs_submit(*ask, "--workspace", workspace), workspace, "no row has a question", "--question")

    said = savs_submit(*ask, "--workspace", workspace, "--question", QUESTION)
    assert said.exit_code == 0, said.output


def test_an_artifact_of_another_model_is_refused(
    corpus: Corpus, calm: Finished, qwen2_vl: Path, workspace: Path, tmp_path: Path
) -> None:
    other = tmp_path / "other"
    other.mkdir()
    for path in qwen2_vl.iterdir():
        os.link(path, other / path.name)
    (other / "note.txt").write_text("so that its fingerprint is another")
    artifact = calm.workspace / "artifacts" / "shapes" / calm.extract.job_id
    classify = ("classify", "--data", corpus.data, "--artifact", artifact, "--name", "labels")

    said = savs_submit(*classify, "--model", other, "--workspace", workspace)

    assert said.exit_code == 1 and "loading" not in said.output and not (workspace / "jobs").exists()
    assert f"was made with {qwen2_vl}, and --model is {other}; leave out --model" in said.stderr
    # and what is advised works
    assert savs_submit(*classify, "--workspace", workspace).exit_code == 0


def test_rows_that_cannot_be_used_are_named_before_the_others_are_labelled(
    own_corpus: Corpus, qwen2_vl: Path, workspace: Path
) -> None:
    rows = read_jsonl(own_corpus.data)
    write_jsonl(own_corpus.data, [*rows[:20], {"image": 3}, {"image": 4}, *rows[20:], b"{"])

    said = savs_submit(*run_arguments(own_corpus, qwen2_vl, workspace))

    assert said.exit_code == 3
    warning, _ = said.stderr.split("loading")
    assert warning.splitlines()[0] == f"{own_corpus.data}: 3 of {ROWS + 3} rows cannot be used and will fail"
    assert "corpus.jsonl:21: 'image' must be a path or a list of paths, not a number" in warning
    assert "(also in line 22)" in warning and len(warning.splitlines()) == 3


@pytest.mark.parametrize("zero_shot", [False, True])
def test_a_corpus_of_another_format_is_refused(
    own_corpus: Corpus, calm: Finished, qwen2_vl: Path, workspace: Path, zero_shot: bool
) -> None:
    rows = "".join(f"<item><image>pictures/item-{i:02d}.png</image></item>\n" for i in range(ROWS))
    own_corpus.data.write_text(f"<items>\n{rows}</items>\n")
    artifact = calm.workspace / "artifacts" / "shapes" / calm.extract.job_id
    how = ("--zero-shot",) if zero_shot else ("--artifact", artifact)

    said = savs_submit(
        *("classify", "--data", own_corpus.data, *how, "--name", "labels"),
        *("--model", qwen2_vl, "--workspace", workspace),
    )

    refused(said, workspace, f"{own_corpus.data} has no column of images; it has '<items>'.")
    assert len(said.stderr.splitlines()) == 1


def test_a_retry_after_the_manifest_changed_changes_nothing(
    own_corpus: Corpus, qwen2_vl: Path, workspace: Path
) -> None:
    # given a finished job with a row that failed, and a manifest that was then corrected
    lost = own_corpus.pictures[7]
    lost.rename(own_corpus.folder / "away.png")
    assert savs_submit(*run_arguments(own_corpus, qwen2_vl, workspace)).exit_code == 3
    (own_corpus.folder / "away.png").rename(lost)
    before, rows = tree(workspace), read_jsonl(own_corpus.data)
    write_jsonl(own_corpus.data, rows[1:])

    said = savs_submit("retry", "shapes", "--workspace", workspace)

    assert said.exit_code == 1 and "has changed since shapes-classify-" in said.stderr
    assert "nothing was changed. Submit the changed file again: that is another job" in said.stderr
    assert tree(workspace) == before
    # and what is advised works
    assert savs_submit(*run_arguments(own_corpus, qwen2_vl, workspace)).exit_code == 0
    # as does the retry, once the file is what it was
    write_jsonl(own_corpus.data, rows)
    jobs = [path.name for path in workspace.glob("jobs/*-classify-*")]
    [job] = [name for name in jobs if finished(workspace).classify.job_id != name]
    assert savs_submit("retry", job, "--workspace", workspace).exit_code == 0


def test_rows_that_are_wrong_in_the_manifest_are_corrected_there(
    own_corpus: Corpus, qwen2_vl: Path, workspace: Path
) -> None:
    rows = read_jsonl(own_corpus.data)
    write_jsonl(own_corpus.data, [*rows, {"image": 3}])
    first = savs_submit(*run_arguments(own_corpus, qwen2_vl, workspace))
    advice = "1 row is wrong in the manifest itself (bad_row or no_question): fix the manifest and run again"
    assert advice in first.stdout.replace("\n", " ") and "savs-submit retry" not in first.stdout
    before = tree(workspace)

    again = savs_submit("retry", "shapes", "--workspace", workspace)

    # then a retry says so too, and retries nothing
    assert f"nothing to retry; {advice}" in again.stderr and tree(workspace) == before
    # and what is advised works
    write_jsonl(own_corpus.data, rows)
    assert savs_submit(*run_arguments(own_corpus, qwen2_vl, workspace)).exit_code == 0

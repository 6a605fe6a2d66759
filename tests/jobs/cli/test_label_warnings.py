"""Doubts about labelled examples are the same in `plan`, `run` and `extract`, and come before the model."""

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result

from tests.jobs.conftest import HEADS, Corpus, read_jsonl, run_arguments, savs_submit, write_jsonl


@pytest.fixture
def doubtful(own_corpus: Corpus) -> Corpus:
    """Examples of which one is repeated, one has two labels, and one is alone in its class."""
    rows = read_jsonl(own_corpus.train)
    rows += [rows[0], rows[1] | {"label": "star"}, rows[2] | {"label": "Star ", "question": "Which one?"}]
    write_jsonl(own_corpus.train, rows)
    return own_corpus


def fits(workspace: Path, model: Path, *arguments: object) -> list[object]:
    how = ("--model", model, "--workspace", workspace, "--heads", HEADS, "--batch-tokens", 200)
    return ["extract", "--name", "shapes", *how, *arguments]


def planned(path: Path, *options: object) -> list[dict[str, Any]]:
    said = savs_submit("plan", "--train", path, "--json", *options)
    assert said.exit_code == 0, said.output
    found: list[dict[str, Any]] = json.loads(said.stdout)
    return found


def before_loading(said: Result) -> list[str]:
    assert said.exit_code == 0, said.output
    assert said.stderr.count("loading") == 1
    return said.stderr.split("loading")[0].splitlines()


def test_plan_run_and_extract_warn_of_the_same_and_stop_at_nothing(
    doubtful: Corpus, qwen2_vl: Path, tmp_path: Path
) -> None:
    [found] = planned(doubtful.train)
    printed = savs_submit("plan", "--train", doubtful.train, "--data", doubtful.data)

    ran = savs_submit(*run_arguments(doubtful, qwen2_vl, tmp_path / "ran"))
    fitted = savs_submit(*fits(tmp_path / "fitted", qwen2_vl, "--train", doubtful.train))

    alone, same, contradiction, copy = found["warnings"]
    assert "1 of 4 classes has only one example: 'Star ' (line 27)" in alone
    assert "'star' (line 3) and 'Star ' (line 27)" in same
    assert contradiction.startswith(f"{doubtful.train}:26: the label differs from that of line 2,")
    assert copy.startswith(f"{doubtful.train}:25: the media, question and label are those of line 1;")
    assert [line.strip() for line in printed.stdout.splitlines() if line.strip() in found["warnings"]] == (
        found["warnings"]
    )
    assert before_loading(ran)[:4] == found["warnings"]
    assert before_loading(fitted)[:4] == found["warnings"]


def test_good_examples_are_fitted_without_a_warning(corpus: Corpus, qwen2_vl: Path, tmp_path: Path) -> None:
    said = savs_submit(*fits(tmp_path / "results", qwen2_vl, "--train", corpus.train))

    assert planned(corpus.train)[0]["warnings"] == []
    assert not [line for line in before_loading(said) if str(corpus.train) in line]


def test_each_of_several_training_files_has_its_own_warnings(
    doubtful: Corpus, qwen2_vl: Path, workspace: Path
) -> None:
    # given a second task on the same media, which has another doubt
    rows = read_jsonl(doubtful.train)[:24]
    other = write_jsonl(doubtful.folder / "other.jsonl", [*rows, rows[0] | {"label": "square"}])

    said = savs_submit(*fits(workspace, qwen2_vl, "--train", doubtful.train, "--train", other))

    expected = [*planned(doubtful.train)[0]["warnings"], *planned(other)[0]["warnings"]]
    assert len(expected) == 5
    assert [line for line in before_loading(said) if ".jsonl" in line] == expected


def test_each_split_of_a_folder_has_its_own_warnings_and_a_shared_file_has_them_once(
    doubtful: Corpus, qwen2_vl: Path, tmp_path: Path
) -> None:
    for folder, rows in (("train", read_jsonl(doubtful.train)), ("test", read_jsonl(doubtful.data))):
        (tmp_path / folder).mkdir()
        write_jsonl(tmp_path / folder / "few.jsonl", rows)
        write_jsonl(tmp_path / folder / "many.jsonl", rows[1:])
    expected = [
        warning
        for found in planned(tmp_path / "train", "--media-root", doubtful.folder)
        for warning in found["warnings"]
    ]
    assert len([one for one in expected if "few.jsonl" in one]) == 4
    assert len([one for one in expected if "many.jsonl" in one]) == 3
    how = [*run_arguments(doubtful, qwen2_vl, tmp_path / "results")[5:], "--media-root", doubtful.folder]

    folders = savs_submit("run", "--train", tmp_path / "train", "--data", tmp_path / "test", *how)

    assert folders.exit_code == 0, folders.output
    assert [line for line in before_loading(folders) if "/train/" in line] == expected
    # and of a training file with two corpora they are said once
    train, test = tmp_path / "train" / "few.jsonl", tmp_path / "test"
    few, many = (("--split", name, train, test / f"{name}.jsonl") for name in ("few", "many"))
    how[how.index(str(tmp_path / "results"))] = str(tmp_path / "others")
    shared = savs_submit("run", *few, *many, *how)
    assert [line for line in before_loading(shared) if "/train/" in line] == expected[:4]


def test_long_labels_of_a_corpus_that_are_no_classes_are_shortened(
    own_corpus: Corpus, qwen2_vl: Path, workspace: Path
) -> None:
    rows = read_jsonl(own_corpus.data)
    write_jsonl(own_corpus.data, [*rows, rows[1] | {"label": "\x1b[31m" + "x" * 9000}])

    said = savs_submit(*run_arguments(own_corpus, qwen2_vl, workspace))

    [warning] = [line for line in before_loading(said) if "are not classes" in line]
    assert warning.endswith(f"will count as wrong: '\\x1b[31m{'x' * 35}'…")

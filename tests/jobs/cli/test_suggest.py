"""`savs-submit suggest`: the items that are most worth labelling by hand."""

import json
from pathlib import Path
from typing import Any

import pytest

from jobs.refit.suggest import doubt_of, runner_up
from tests.jobs.conftest import read_jsonl, savs_submit, write_jsonl

USED, FEW = 60, 25  # rows of the corpus with vectors, and without
COPIES = 20  # rows that show what one row shows
LABELLED = 5


@pytest.fixture(scope="module")
def unlabelled(drawn: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace in which a corpus almost without labels was labelled with vectors kept and without. It also
    has copies of a row, one that failed and some with a known label. To be read only, but for `artifacts`."""
    folder = tmp_path_factory.mktemp("suggest")
    [artifact] = [one for one in (drawn / "results/artifacts/strokes").iterdir() if "refit" not in one.name]
    known = read_jsonl(drawn / "corpus.jsonl")[:USED]
    rows = [{name: value for name, value in one.items() if name != "label"} for one in known]
    doubtful = max(
        old_rows(drawn / "results", "strokes"), key=lambda one: one["index"] < USED and doubt_of(one)
    )["index"]
    rows += [rows[doubtful] | {"question_id": f"copy-{n}"} for n in range(COPIES)]
    rows += [rows[0] | {"image": "gone.png", "question_id": "gone"}, *known[:LABELLED]]
    data, few = write_jsonl(folder / "corpus.jsonl", rows), write_jsonl(folder / "few.jsonl", rows[:FEW])
    for name, given, keep in (("kept", data, ("--keep-vectors", "all")), ("none", few, ())):
        made = savs_submit(
            *("classify", "--data", given, "--media-root", drawn, "--artifact", artifact, "--name", name),
            *("--workspace", folder / "results", *keep),
        )
        assert made.exit_code == (3 if name == "kept" else 0), made.output  # one row failed
    return folder


def old_rows(workspace: Path, name: str) -> list[dict[str, Any]]:
    said = savs_submit("results", name, "--workspace", workspace)
    return [json.loads(line) for line in said.stdout.splitlines()]


def suggested(folder: Path, name: str, *more: object) -> Any:
    result = savs_submit("suggest", name, "--workspace", folder / "results", "--json", *more)
    assert result.exit_code == 0, result.output
    assert "loading" not in result.output
    return json.loads(result.stdout)


def test_doubtful_rows_are_picked_and_no_copies_failed_or_labelled_ones(unlabelled: Path) -> None:
    said = suggested(unlabelled, "kept", "-n", 8)

    items = said["items"]
    rows = {one["index"]: one for one in old_rows(unlabelled / "results", "kept")}
    assert (said["varied"], said["free"], len(items)) == (True, USED + COPIES, 8)
    assert len({one["media"][0] for one in items}) == 8  # of the copies at most one
    assert all(one["index"] < USED + COPIES and one["label"] is None for one in items)
    assert [one["doubt"] for one in items] == sorted((one["doubt"] for one in items), reverse=True)
    assert all(one["prediction"] == rows[one["index"]]["prediction"] != one["runner_up"] for one in items)
    mean = sum(doubt_of(one) or 0 for n, one in rows.items() if n < USED) / USED
    assert sum(one["doubt"] for one in items) / 8 > mean
    assert said == suggested(unlabelled, "kept", "-n", 8)


def test_without_vectors_doubtful_rows_of_each_class_are_picked_and_the_advice_is_given(
    unlabelled: Path,
) -> None:
    said = suggested(unlabelled, "none", "-n", 12)
    printed = savs_submit("suggest", "none", "-n", 12, "--workspace", unlabelled / "results")

    classes = {one["prediction"] for one in old_rows(unlabelled / "results", "none") if not one.get("error")}
    assert {one["prediction"] for one in said["items"]} == classes and not said["varied"]
    assert "--keep-vectors heads" in printed.stderr


def test_the_table_names_what_is_to_be_labelled(unlabelled: Path) -> None:
    said = savs_submit("suggest", "kept", "-n", 3, "--workspace", unlabelled / "results")

    head, *lines, last = said.stdout.splitlines()
    assert head.split() == ["index", "id", "prediction", "confidence", "runner-up"]
    assert len(lines) == 3 and last == f"3 of {USED + COPIES} rows without a known label"


def test_filled_in_items_are_corrections_and_are_not_suggested_again(
    unlabelled: Path, drawn: Path, tmp_path: Path
) -> None:
    todo = tmp_path / "todo.jsonl"
    suggested(unlabelled, "kept", "-n", 20, "--out", todo)
    known = {one["image"]: one["label"] for one in read_jsonl(drawn / "corpus.jsonl")}
    items = read_jsonl(todo)
    for one in items[:15]:  # the others are not labelled yet
        one["label"] = known[Path(one["media"][0]).relative_to(drawn).as_posix()]
    write_jsonl(todo, items)

    done = savs_submit("relabel", "kept", todo, "--workspace", unlabelled / "results", "--json")
    again = suggested(unlabelled, "kept", "-n", 20, "--after", todo)

    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["added"] == 15
    assert again["free"] == USED + COPIES - 15
    assert not {one["index"] for one in items[:15]} & {one["index"] for one in again["items"]}
    # and the doubt is that of the new labels
    before = {one["index"]: doubt_of(one) for one in old_rows(unlabelled / "results", "kept")}
    assert any(abs(one["doubt"] - before[one["index"]]) > 0.01 for one in again["items"])
    # while without vectors only the items are left out
    plain = suggested(unlabelled, "none", "-n", 20, "--after", todo)
    assert plain["free"] == FEW - sum(one["index"] < FEW for one in items[:15])


def test_items_go_to_label_studio(unlabelled: Path, tmp_path: Path) -> None:
    target = f"label-studio:{tmp_path / 'tasks.json'}"

    said = savs_submit("suggest", "kept", "-n", 4, "--workspace", unlabelled / "results", "--to", target)

    tasks = json.loads((tmp_path / "tasks.json").read_text())
    assert said.exit_code == 0 and len(tasks) == 4 and "4 rows" in said.stdout
    assert all(task["predictions"] and "annotations" not in task for task in tasks)


def test_a_corpus_whose_labels_are_known_has_nothing_to_suggest(drawn: Path) -> None:
    said = savs_submit("suggest", "strokes", "--workspace", drawn / "results")

    assert said.exit_code == 2 and "nothing to suggest" in said.stderr and "known label" in said.stderr


def test_doubt_is_the_lead_of_the_likeliest_class_over_the_second() -> None:
    assert doubt_of({"prediction": "a", "scores": {"a": 0.6, "b": 0.3, "c": 0.1}}) == pytest.approx(0.7)
    assert doubt_of({"prediction": "a", "votes": {"a": 15, "b": 5}}) == pytest.approx(0.5)
    assert doubt_of({"prediction": "a", "votes": {"a": 20}}) == 0
    assert doubt_of({"prediction": "a"}) is None and doubt_of({"prediction": "a", "confidence": 0.25}) == 0.75
    even, sure = ({"predictions": [], "scores": {"a": p, "b": p}} for p in (0.5, 0.99))
    assert (doubt_of(even) or 0) > (doubt_of(sure) or 0) > 0
    assert runner_up({"prediction": None, "scores": {"a": 0.5, "b": 0.3}}) == "b"
    assert runner_up({"predictions": ["a"], "scores": {"a": 0.9, "b": 0.4, "c": 0.1}}) == "b"

"""Rows of the training set among those that are labelled: named, counted, and taken out of the scores."""

import json
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from jobs.ledger.ledger import Ledger
from jobs.records.outcome import LeakedRow
from jobs.reduce.sums import LEAKS, LeakSums
from savs.scores.metrics import Scores, Tally, score
from savs.scores.ranking import shares
from savs.scores.scored import Scored
from tests.jobs.conftest import (
    HEADS,
    QUESTION,
    Corpus,
    Finished,
    finished,
    read_jsonl,
    savs_submit,
    write_jsonl,
)


def run(corpus: Corpus, model: Path, workspace: Path, *more: object) -> Any:
    return savs_submit(
        *("run", "--train", corpus.train, "--data", corpus.data, "--name", "shapes", "--model", model),
        *("--workspace", workspace, "--heads", HEADS, "--readout", "reference", "--batch-tokens", 200, *more),
    )


def leak(index: int, training: str, verified: bool = True) -> dict[str, Any]:
    return {"index": index, "training": training, "verified": verified}


def scored_without(done: Finished, leaked: Iterable[int]) -> Scores | None:
    """Scores of the result rows that are none of `leaked`."""
    tally = Tally()
    for row in map(json.loads, done.rows.splitlines()):
        if row["index"] not in leaked and not row.get("error"):
            seen = {"scores": shares(row["votes"]), "media": tuple(row["media"])}
            tally.add(Scored(row["index"], row["prediction"], row.get("label"), **seen))
    return score(tally)


def plant(corpus: Corpus) -> list[dict[str, Any]]:
    """Puts training rows, and what looks like them, into the corpus: what is to be found."""
    rows = read_jsonl(corpus.data)
    pictures = corpus.folder / "pictures"
    (pictures / "copies").mkdir()

    def example(i: int) -> bytes:
        return (pictures / f"train-{i:02d}.png").read_bytes()

    corpus.pictures[3].write_bytes(example(5))  # its bytes under another name
    rows[7]["image"] = "pictures/train-10.png"  # the very file
    corpus.pictures[8].write_bytes(example(6))  # its bytes with another question
    rows[8]["question"] = "Which shape is it not?"
    (pictures / "copies" / "train-01.png").write_bytes(corpus.pictures[9].read_bytes())  # only its name
    rows[9]["image"] = "pictures/copies/train-01.png"
    rows[20]["image"] = "nowhere/train-02.png"  # its name, and nothing there
    rows[21]["image"] = "nowhere/item-02.png"
    del rows[30]["question"]  # so that the artifact's is its question
    corpus.pictures[30].write_bytes(example(0))
    corpus.pictures[39].write_bytes(example(23))
    write_jsonl(corpus.data, rows)
    return [leak(3, "5"), leak(7, "10"), leak(20, "2", False), leak(30, "0"), leak(39, "23")]


@pytest.mark.parametrize(("shard", "listed"), [(1, False), (7, True), (100, False)])
def test_planted_rows_are_all_found_and_no_others_in_shards_of_any_size(
    own_corpus: Corpus, qwen2_vl: Path, workspace: Path, shard: int, listed: bool
) -> None:
    expected = plant(own_corpus)
    if listed:
        for path in (own_corpus.train, own_corpus.data):
            path.write_text(json.dumps(read_jsonl(path), indent=1))

    said = run(own_corpus, qwen2_vl, workspace, "--shard-size", shard)

    assert said.exit_code == 3, said.output
    done = finished(workspace)
    summary = done.summary("classify")
    assert summary["leaks"] == {"verified": 4, "unverified": 1, "rows": expected}
    # and the scores without them are those of the other rows
    without = scored_without(done, [row["index"] for row in expected])
    assert without is not None and summary["without_leaks"]["scored"] == without.rows
    assert summary["without_leaks"]["accuracy"] == without.accuracy != summary["accuracy"]
    assert summary["without_leaks"]["accuracy_interval"] == list(without.accuracy_interval)
    assert summary["without_leaks"]["confusion"] == without.confusion
    # and people are told
    assert (
        "rows of the training set: 4, and 1 by question and file name alone (row 3 is training" in said.stdout
    )
    assert f"without them: accuracy {without.accuracy:.3f}" in said.stdout
    # and only shards with a leak keep a second tally
    outcomes = list(Ledger(str(workspace)).outcomes(done.classify.job_id))
    assert [row.model_dump() for o in outcomes for row in o.leaks or ()] == expected
    assert all((o.tally_without_leaks is None) == (not o.leaks) for o in outcomes)
    # which counts failed rows all the same: a retry takes them out of both
    assert all(o.tally_without_leaks.errors == o.tally.errors for o in outcomes if o.tally_without_leaks)


def test_a_corpus_without_any_says_so_and_has_no_other_scores(calm: Finished) -> None:
    summary = calm.summary("classify")
    assert summary["leaks"] == {"verified": 0, "unverified": 0, "rows": []}
    assert "without_leaks" not in summary
    assert "leaks" not in calm.summary("extract")


def test_a_row_that_is_there_when_it_is_redone_is_known_by_its_bytes(
    own_corpus: Corpus, qwen2_vl: Path, workspace: Path
) -> None:
    # given rows of which two seem to be in the training set, as far as their names tell
    rows = read_jsonl(own_corpus.data)
    rows[6]["image"], rows[11]["image"] = "late/train-04.png", "late/train-07.png"
    write_jsonl(own_corpus.data, rows)
    assert run(own_corpus, qwen2_vl, workspace, "--shard-size", 8).exit_code == 3
    before = finished(workspace).summary("classify")
    assert before["leaks"]["rows"] == [leak(6, "4", False), leak(11, "7", False)]
    assert before["without_leaks"]["scored"] == before["scored"]  # neither has a prediction

    # if their pictures come, one of them with other bytes
    (own_corpus.folder / "late").mkdir()
    shutil.copy(own_corpus.folder / "pictures" / "train-04.png", own_corpus.folder / "late")
    shutil.copy(own_corpus.pictures[11], own_corpus.folder / "late" / "train-07.png")
    assert savs_submit("retry", "shapes", "--workspace", workspace).exit_code == 0

    # then one is, and the other is not
    done = finished(workspace)
    summary = done.summary("classify")
    assert summary["leaks"] == {"verified": 1, "unverified": 0, "rows": [leak(6, "4")]}
    without = scored_without(done, [6])
    assert without is not None and summary["without_leaks"]["confusion"] == without.confusion
    assert summary["without_leaks"]["scored"] == summary["scored"] - 1


def test_training_rows_are_found_within_their_groups(
    corpus: Corpus, qwen2_vl: Path, workspace: Path, tmp_path: Path
) -> None:
    # given groups of two pictures and two questions, as NaturalBench has them, and training rows
    # that are rows of the second and of the fourth
    rows = [
        {
            "image": str(corpus.pictures[2 * group + picture]),
            "question": f"Is this caption {group}.{asked}?",
            "label": "Yes" if asked == picture else "No",
            "question_id": f"{group}-{asked}{picture}",
        }
        for group in range(5)
        for asked in range(2)
        for picture in range(2)
    ]
    chosen = [4, 5, 12, 13, 15]
    own = Corpus(
        tmp_path,
        write_jsonl(tmp_path / "train.jsonl", [rows[i] for i in chosen]),
        write_jsonl(tmp_path / "test.jsonl", rows),
        (),
    )

    said = run(own, qwen2_vl, workspace, "--format", "natural_ret", "--shard-size", 3)

    # then it is just these, and not what shares a picture or a question with them
    assert said.exit_code == 0, said.output
    summary = finished(workspace).summary("classify")
    assert summary["leaks"]["rows"] == [leak(i, str(rows[i]["question_id"])) for i in chosen]
    assert {row["index"] // 4 for row in summary["leaks"]["rows"]} == {1, 3}
    assert summary["without_leaks"]["scored"] == len(rows) - len(chosen)


def test_an_artifact_that_keeps_nothing_to_compare_with_is_said_to(
    corpus: Corpus, qwen2_vl: Path, workspace: Path, tmp_path: Path, calm: Finished
) -> None:
    # given an artifact whose training rows are known by their hashes alone
    shutil.copytree(calm.workspace / "artifacts" / "shapes" / calm.extract.job_id, tmp_path / "old")
    path = tmp_path / "old" / "manifest.json"
    manifest = json.loads(path.read_bytes())
    for row in manifest["training"]:
        for field in ("sizes", "names", "question_sha256"):
            del row[field]
    path.write_text(json.dumps(manifest))

    said = savs_submit(
        *("classify", "--data", corpus.train, "--artifact", tmp_path / "old", "--name", "again"),
        *("--model", qwen2_vl, "--workspace", workspace),
    )

    # then it labels, and nobody is told that there is no leak
    assert said.exit_code == 0, said.output
    assert "rows of the training set were not searched for; extract it again" in said.stdout
    [path] = workspace.glob("jobs/*/summary.json")
    summary = json.loads(path.read_bytes())
    assert summary["leaks"] is None and "without_leaks" not in summary


def test_of_many_the_first_are_named_and_all_are_counted() -> None:
    sums = LeakSums()
    for first in (700, 0, 1400):  # shards in any order
        sums.add([LeakedRow(index=first + i, training="1", verified=bool(i % 7)) for i in range(700)])
    assert (sums.verified, sums.unverified) == (1800, 300)
    assert [row.index for row in sums.rows] == list(range(LEAKS))


def test_hostile_ids_do_no_harm_where_they_are_printed(
    own_corpus: Corpus, qwen2_vl: Path, workspace: Path
) -> None:
    rows = read_jsonl(own_corpus.train)
    write_jsonl(own_corpus.train, [row | {"id": f"[red]{i}[/]\x1b[2J"} for i, row in enumerate(rows)])

    said = savs_submit(
        *("run", "--train", own_corpus.train, "--data", own_corpus.train, "--name", "x"),
        *("--model", qwen2_vl, "--workspace", workspace, "--heads", HEADS, "--readout", "reference"),
    )

    assert said.exit_code == 0, said.output
    assert "rows of the training set: 24 (row 0 is training row [red]0[/]\\x1b[2J, row 1" in said.stdout
    assert "without them: no row with a label is left" in said.stdout
    assert finished(workspace).summary("classify")["leaks"]["verified"] == len(rows)
    assert all(row["question"] == QUESTION for row in rows)

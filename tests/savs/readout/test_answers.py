"""Answers as tables of pandas and Arrow."""

from collections.abc import Callable
from typing import Any

import pandas as pd
import pytest

import savs
from savs.errors import MissingMedia
from savs.readout.answers import Answers
from tests.savs.data.drawing import head_vectors

VECTORS = head_vectors([[1, 0], [0, 1], [1, 0.2], [0.2, 1], [1, 0.1], [0.1, 1]], (1, 2))
LABELS = ["cat", "dog"] * 3
GONE = MissingMedia("gone.png does not exist")


@pytest.fixture
def corpus() -> savs.Extraction:
    """Six samples that were read, and one that was not, after the second."""
    asked = [
        savs.Sample(n, f"n{n}", (f"{n}.png",), label=label)
        for n, label in enumerate([*LABELS[:2], "cat", *LABELS[2:]])
    ]
    return savs.Extraction((*asked[:2], *asked[3:]), VECTORS, {2: GONE}, {}, tuple(asked))


def rows_of(frame: Any) -> list[dict[str, Any]]:
    """The rows of either kind of table, with None for what is missing and dicts for maps."""
    if not isinstance(frame, pd.DataFrame):
        rows = frame.to_pylist()
        return [{k: (dict(v) or None) if k in ("votes", "scores") else v for k, v in r.items()} for r in rows]
    known = frame.astype(object).where(frame.notna(), None)
    return [{k: v if v != {} else None for k, v in row.items()} for row in known.to_dict("records")]


@pytest.mark.parametrize("table", [Answers.to_pandas, Answers.to_arrow])
@pytest.mark.parametrize("mode", ["reference", "ridge"])
def test_a_table_has_a_row_per_answer_and_the_names_of_result_rows(
    table: Callable[..., Any], mode: Any
) -> None:
    answers = savs.classify(savs.fit(VECTORS, LABELS, 1, mode), VECTORS)

    found = rows_of(table(answers))

    assert list(found[0]) == ["prediction", "confidence", "margin", "entropy", "votes", "scores"]
    assert [row["prediction"] for row in found] == LABELS
    assert [row["confidence"] for row in found] == [answer.confidence for answer in answers]
    assert [row["margin"] for row in found] == [answer.margin for answer in answers]
    assert [row["votes"] for row in found] == [answer.votes or None for answer in answers]
    assert [row["scores"] for row in found] == [answer.scores or None for answer in answers]


@pytest.mark.parametrize("table", [Answers.to_pandas, Answers.to_arrow])
def test_with_the_corpus_every_sample_has_a_row_also_one_with_an_error(
    table: Callable[..., Any], corpus: savs.Extraction
) -> None:
    answers = savs.classify(savs.fit(VECTORS, LABELS, 1), VECTORS)

    found = rows_of(table(answers, corpus))

    assert [row["id"] for row in found] == [f"n{n}" for n in range(7)]
    assert [row["prediction"] for row in found] == [*LABELS[:2], None, *LABELS[2:]]
    assert [row["error"] for row in found] == [None, None, "missing_media", *[None] * 4]
    assert found[2]["message"] == str(GONE) and found[2]["label"] == "cat" and found[2]["media"] == ["2.png"]


@pytest.mark.parametrize("table", [Answers.to_pandas, Answers.to_arrow])
def test_several_labels_per_item_are_lists(table: Callable[..., Any]) -> None:
    labels = [["cat"], ["dog"], ["cat"], ["dog"], [], ["cat", "dog"]]
    answers = savs.classify(savs.fit(VECTORS, labels), VECTORS)

    found = rows_of(table(answers))

    assert [tuple(row["predictions"]) for row in found] == [answer.predictions for answer in answers]
    assert [row["scores"] for row in found] == [answer.scores for answer in answers]
    assert list(found[0]) == ["predictions", "scores"]


def test_answers_are_still_a_list_and_a_slice_of_them_is_a_table_too() -> None:
    answers = savs.classify(savs.fit(VECTORS, LABELS, 1), VECTORS)

    assert isinstance(answers, list) and answers == list(answers) and answers[1].prediction == "dog"
    assert len(answers[2:5].to_pandas()) == 3


def test_no_answers_are_a_table_without_rows() -> None:
    frame = savs.classify(savs.fit(VECTORS, LABELS, 1), VECTORS[:0]).to_pandas()

    assert len(frame) == 0 and frame["confidence"].dtype == "float64"

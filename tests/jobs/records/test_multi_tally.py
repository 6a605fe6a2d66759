"""Counts of rows with several labels in JSON, and rows as they are written."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from jobs.records.row import ResultRow, RowError
from jobs.records.scored_row import scored
from jobs.records.tallies.tally import TallyRecord
from savs.scores.metrics import Tally, total
from savs.scores.scored import Scored

NAMES = ("cat", "indoor", "größer")
labels = st.lists(st.sampled_from(NAMES), unique=True, max_size=3).map(tuple)
shares = st.dictionaries(st.sampled_from(NAMES), st.floats(0, 1), max_size=3)
rows = st.builds(
    Scored,
    index=st.integers(0, 100),
    predictions=labels,
    labels=labels | st.none(),
    scores=shares,
    error=st.none() | st.just("bad_row"),
    media=st.sampled_from([(), ("a.png",), ("b.png",)]),
    split=st.none() | st.just("day"),
)


def tallied(given: list[Scored]) -> Tally:
    tally = Tally()
    for row in given:
        tally.add(row)
    return tally


def stored(tally: Tally) -> Tally:
    """The tally after it was written into a commit and read again."""
    return TallyRecord.model_validate_json(TallyRecord.of(tally).model_dump_json()).tally()


@given(st.lists(rows, max_size=12), st.integers(0, 12))
def test_a_tally_comes_back_and_parts_add_up_to_the_whole(given: list[Scored], cut: int) -> None:
    whole = tallied(given)

    assert stored(whole) == whole
    assert total([stored(tallied(given[cut:])), stored(tallied(given[:cut]))]) == whole


def test_a_tally_that_was_written_before_there_were_lists_has_none() -> None:
    record = TallyRecord.of(Tally()).model_dump()
    del record["multi"]

    assert TallyRecord.model_validate(record).tally() == Tally()


def counted() -> dict[str, Any]:
    given = [
        Scored(0, predictions=("cat",), labels=("cat", "indoor"), scores={"cat": 0.9, "indoor": 0.4}),
        Scored(1, predictions=("cat",), labels=(), scores={"cat": 0.8}),
        Scored(2, predictions=(), labels=(), scores={"cat": 0.1}),
    ]
    record: dict[str, Any] = json.loads(TallyRecord.of(tallied(given)).model_dump_json())
    return record


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"total": 4}, "do not have as many rows"),
        ({"labels": {"cat": [1, 2, 2], "indoor": [1, 0, 0]}}, "cannot have these counts of 'cat'"),
        ({"labels": {"cat": [3, 2, 1], "indoor": [1, 0, 0]}}, "cannot have these counts of 'cat'"),
        ({"labels": {"cat": [1, 2, 1], "indoor": [0, 4, 0]}}, "(cannot have|more rows than there are)"),
        ({"labels": {"cat": [1, -2, 1], "indoor": [1, 0, 0]}}, "greater than or equal to 0"),
        ({"labels": {"cat": [0, 2, 0]}}, "'cat' has more scores than there are rows"),
        ({"scored": {"cat": [[900, 1, 3]]}}, "'cat' has more scores than there are rows"),
        ({"scored": {"cat": [[2000, 1, 0]]}}, "less than or equal to 1000"),
        ({"rows": {"cells": [{"outcome": [2], "alone": 3}]}}, "right or wrong"),
        ({"rows": {"cells": [{"outcome": [1], "names": ["a", "b"], "alone": 3}]}}, "right or wrong"),
    ],
)
def test_counts_that_contradict_each_other_are_refused(change: dict[str, Any], why: str) -> None:
    record = counted()
    TallyRecord.model_validate_json(json.dumps(record))

    record["multi"] |= change

    with pytest.raises(ValidationError, match=why):
        TallyRecord.model_validate_json(json.dumps(record))


def result(**fields: Any) -> ResultRow:
    return ResultRow(index=0, id="0", task="seen", **fields)


def test_a_row_with_several_labels_is_written_without_the_fields_of_one() -> None:
    row = result(predictions=(), scores={"cat": 0.1}, label=())

    assert json.loads(row.line()) == {
        "index": 0,
        "id": "0",
        "task": "seen",
        "media": [],
        "predictions": [],
        "scores": {"cat": 0.1},
        "label": [],
    }
    assert ResultRow.model_validate_json(row.line()) == row


def test_a_row_with_one_label_is_written_as_before() -> None:
    failed = result(error=RowError(kind="bad_row", message="?"))

    assert [*json.loads(failed.line())] == ["index", "id", "task", "media", "prediction", "votes", "error"]


@pytest.mark.parametrize(
    ("label", "predictions", "labels", "one"),
    [
        ("cat", ("cat",), ("cat",), "cat"),
        (("cat", "indoor"), ("cat",), ("cat", "indoor"), None),
        ((), (), (), None),
        (None, (), None, None),
        (("cat",), None, ("cat",), None),  # a prediction of one label is not scored against a list
    ],
)
def test_a_row_is_scored_by_its_labels(label: Any, predictions: Any, labels: Any, one: str | None) -> None:
    [found] = scored([result(predictions=predictions, label=label, prediction=None)], {}, "general")

    assert (found.predictions, found.labels, found.label) == (predictions, labels, one)

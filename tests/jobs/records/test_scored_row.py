"""Result rows as scores see them: confidence, likeliest class, and whether there are probabilities."""

from typing import Any

import pytest

from jobs.records.row import ResultRow, RowError
from jobs.records.scored_row import scored
from savs.scores.scored import Scored


def seen(**fields: Any) -> Scored:
    [found] = scored([ResultRow(index=0, id="0", task="pets", label="cat", **fields)], {}, "general")
    return found


def test_a_vote_has_a_confidence_and_no_probabilities() -> None:
    found = seen(prediction="cat", votes={"cat": 3, "dog": 1}, confidence=0.75)
    assert (found.confidence, found.likeliest, found.probabilistic) == (0.75, None, False)
    assert found.scores == {"cat": 0.75, "dog": 0.25}


def test_a_row_with_scores_has_probabilities() -> None:
    found = seen(
        prediction="dog", votes={"cat": 3, "dog": 1}, confidence=0.9, scores={"cat": 0.1, "dog": 0.9}
    )
    assert (found.confidence, found.likeliest, found.probabilistic) == (0.9, None, True)
    assert found.scores == {"cat": 0.1, "dog": 0.9}


@pytest.mark.parametrize(
    ("scores", "likeliest"),
    [({"cat": 0.3, "dog": 0.4}, "dog"), ({"owl": 0.4, "dog": 0.4}, "owl"), ({}, None), (None, None)],
)
def test_a_row_that_abstained_has_the_first_class_of_the_highest_score(
    scores: dict[str, float] | None, likeliest: str | None
) -> None:
    found = seen(confidence=0.4, scores=scores)
    assert (found.prediction, found.confidence, found.likeliest) == (None, 0.4, likeliest)


def test_a_row_that_failed_has_none_of_it() -> None:
    found = seen(error=RowError(kind="bad_row", message="?"))
    assert (found.confidence, found.likeliest, found.probabilistic) == (None, None, False)

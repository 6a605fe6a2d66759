"""Classifying: how votes are counted, and what is refused."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from savs.errors import ArtifactMismatch, FitError
from savs.readout.classify import classify
from savs.readout.fit import Readout
from tests.savs.data.drawing import head_vectors, layout

A, B, C = [1, 0, 0], [0, 1, 0], [0, 0, 1]


def readout_of(heads: int, best_first: list[int] | None = None) -> Readout:
    """Heads of one layer, three wide, in which class a lies at A, b at B, c at C."""
    order = best_first or list(range(heads))
    return Readout(
        mode="reference",
        classes=("a", "b", "c"),
        heads=np.array([(0, head) for head in order], dtype=np.int32),
        centroids=tuple(np.array([A, B, C], dtype=np.float32) for _ in order),
        scores=np.zeros(heads, dtype=np.int32),
        layout=layout((heads, 3)),
    )


def test_the_class_with_most_votes_wins() -> None:
    [answer] = classify(readout_of(4), head_vectors([B + A + C + A], (4, 3)))
    assert answer.prediction == "a"
    assert answer.votes == {"a": 2, "b": 1, "c": 1}
    assert answer.confidence == 0.5


def test_of_equal_votes_the_class_that_the_best_ranked_head_named_wins() -> None:
    # given two heads for a and two for b
    vectors = head_vectors([A + B + B + A], (4, 3))
    # then the best head decides, whichever place in the model it has
    assert classify(readout_of(4), vectors)[0].prediction == "a"
    assert classify(readout_of(4, best_first=[1, 0, 2, 3]), vectors)[0].prediction == "b"
    assert classify(readout_of(4, best_first=[3, 2, 1, 0]), vectors)[0].prediction == "a"


def test_among_equal_votes_a_better_head_for_a_loser_does_not_matter() -> None:
    [answer] = classify(readout_of(5), head_vectors([C + B + A + A + B], (5, 3)))
    assert answer.prediction == "b"


def test_only_chosen_heads_vote() -> None:
    [answer] = classify(readout_of(3, best_first=[2]), head_vectors([A + A + C], (3, 3)))
    assert answer.votes == {"c": 1, "a": 0, "b": 0}
    assert answer.confidence == 1.0


def test_length_does_not_matter_only_direction() -> None:
    vectors = head_vectors([np.array(A) * 1e-4 + np.array(B) * 2e-4, np.array(A) * 1e4], (1, 3))
    assert [a.prediction for a in classify(readout_of(1), vectors)] == ["b", "a"]


def test_no_rows_give_no_answers() -> None:
    assert classify(readout_of(2), head_vectors(np.zeros((0, 6)), (2, 3))) == []


def test_vectors_of_a_model_with_other_heads_are_refused() -> None:
    # given vectors as wide as those fitted, but divided into other heads
    with pytest.raises(ArtifactMismatch, match="heads"):
        classify(readout_of(4), head_vectors([A + A + A + A], (3, 4)))


@pytest.mark.parametrize("broken", [np.nan, np.inf])
def test_vectors_with_nan_or_infinity_are_refused(broken: float) -> None:
    with pytest.raises(FitError, match="NaN or infinity"):
        classify(readout_of(1), head_vectors([A, [0, broken, 0]], (1, 3)))


ROWS = st.lists(st.lists(st.integers(-9, 9), min_size=15, max_size=15), min_size=1, max_size=8)


@settings(max_examples=60, deadline=None)
@given(ROWS)
def test_the_votes_of_all_classes_add_up_to_the_number_of_heads(rows: list[list[int]]) -> None:
    for answer in classify(readout_of(5), head_vectors(rows, (5, 3))):
        assert set(answer.votes) == {"a", "b", "c"}
        assert sum(answer.votes.values()) == 5
        assert answer.votes[answer.prediction] == max(answer.votes.values())
        assert answer.confidence == answer.votes[answer.prediction] / 5


@settings(max_examples=60, deadline=None)
@given(ROWS)
def test_a_rows_answer_does_not_depend_on_the_rows_beside_it(rows: list[list[int]]) -> None:
    together = classify(readout_of(5), head_vectors(rows, (5, 3)))
    alone = [classify(readout_of(5), head_vectors([row], (5, 3)))[0] for row in rows]
    assert together == alone

"""An answer's margin and entropy."""

import math

import pytest

from savs.readout.answer import Answer, answer_of


def test_margin_and_entropy_of_probabilities() -> None:
    answer = answer_of(["a", "b", "c"], [0.25, 0.5, 0.25])

    assert answer.margin == 0.25
    assert answer.entropy == pytest.approx(1.5 * math.log(2))


def test_equal_probabilities_have_no_margin_and_the_most_entropy() -> None:
    answer = answer_of(["a", "b", "c", "d"], [0.25] * 4)

    assert (answer.prediction, list(answer.scores)) == ("a", ["a", "b", "c", "d"])
    assert answer.margin == 0
    assert answer.entropy == pytest.approx(math.log(4))


def test_a_certain_answer_has_a_margin_of_one_and_an_entropy_of_zero() -> None:
    answer = answer_of(["a", "b"], [0.0, 1.0])

    assert (answer.prediction, answer.confidence, answer.margin) == ("b", 1.0, 1.0)
    assert str(answer.entropy) == "0.0"  # and not -0.0


def test_a_vote_has_neither() -> None:
    answer = Answer("a", {"a": 15, "b": 5}, 0.75)

    assert (answer.margin, answer.entropy) == (None, None)

"""Probabilities and their temperature."""

import numpy as np
import pytest
from scipy.special import softmax as scipy_softmax
from sklearn import metrics

from savs.estimators.temperature import LEAST, MOST, fit_temperature, log_loss, softmax

RNG = np.random.default_rng(0)
NUMBERS = RNG.integers(0, 4, 200)
SCORES = 2 * np.eye(4)[NUMBERS] + RNG.normal(size=(200, 4))


def loss_at(t: float, scores: np.ndarray = SCORES) -> float:
    return float(metrics.log_loss(NUMBERS, scipy_softmax(scores / t, axis=1), labels=[0, 1, 2, 3]))


def test_probabilities_equal_those_of_scipy() -> None:
    assert np.allclose(softmax(SCORES), scipy_softmax(SCORES, axis=1))


def test_scores_of_any_size_give_probabilities() -> None:
    assert np.array_equal(softmax(np.array([[1e5, 0.0], [-1e5, -2e5]])), [[1, 0], [1, 0]])


def test_log_loss_equals_that_of_scikit_learn() -> None:
    assert log_loss(SCORES, NUMBERS) == pytest.approx(loss_at(1.0))
    assert log_loss(np.array([[1e4, 0.0]]), np.array([1])) == pytest.approx(1e4)  # and not infinity


@pytest.mark.parametrize("size", [0.1, 1.0, 10.0])
def test_the_temperature_has_the_least_log_loss(size: float) -> None:
    found = fit_temperature(SCORES * size, NUMBERS)

    best = min(np.geomspace(0.01, 100, 321), key=lambda t: loss_at(t, SCORES * size))
    assert found == pytest.approx(best, rel=0.06)  # a step of the grid is 6 %


def test_scores_that_are_always_right_or_mean_nothing_end_at_the_ends() -> None:
    right = np.eye(4)[NUMBERS]

    assert fit_temperature(right, NUMBERS) == pytest.approx(LEAST)
    assert fit_temperature(-right, NUMBERS) == pytest.approx(MOST)

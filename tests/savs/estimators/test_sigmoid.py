"""Probabilities and thresholds of single labels, with scikit-learn's Platt scaling as the oracle."""

import numpy as np
import pytest
from sklearn.calibration import _sigmoid_calibration
from sklearn.metrics import f1_score, log_loss

from savs.estimators.sigmoid import MIDDLE, f1_threshold, fit_sigmoid, sigmoid


def drawn(n: int, share: float, seed: int = 0, lead: float = 1.5) -> tuple[np.ndarray, np.ndarray]:
    """Scores float [n] that are higher by `lead` for positive rows, and which rows are positive."""
    rng = np.random.default_rng(seed)
    positive = rng.random(n) < share
    positive[:2] = True, False
    return rng.normal(size=n) + lead * positive, positive


@pytest.mark.parametrize("share", [0.05, 0.3, 0.9])
@pytest.mark.parametrize("n", [12, 200])
@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e3])
def test_the_fit_is_that_of_scikit_learn(n: int, share: float, scale: float) -> None:
    scores, positive = drawn(n, share)
    scores = scores * scale + scale

    slope, offset = fit_sigmoid(scores, positive)

    a, b = _sigmoid_calibration(scores / scale, positive)  # 1 / (1 + exp(a · score + b))
    assert slope >= 0
    if -a > 0:
        assert sigmoid(slope * scores + offset) == pytest.approx(
            1 / (1 + np.exp(a * scores / scale + b)), abs=2e-4
        )


def test_scores_that_separate_the_examples_have_a_finite_slope() -> None:
    positive = np.arange(10) < 4

    slope, offset = fit_sigmoid(positive.astype(float), positive)

    p = sigmoid(slope * positive + offset)
    assert p[0] == pytest.approx(5 / 6, abs=1e-6) and p[-1] == pytest.approx(1 / 8, abs=1e-6)


def test_scores_that_are_higher_for_negative_rows_give_the_share_of_the_label() -> None:
    # given leave-one-out means, which know nothing but the row itself
    positive = np.arange(30) % 5 == 0
    scores = (positive.sum() - positive) / 29

    slope, offset = fit_sigmoid(scores, positive)

    assert slope == 0 and float(sigmoid(np.array(offset))) == pytest.approx(0.2, abs=0.06)


def test_equal_scores_give_the_share_of_the_label() -> None:
    assert fit_sigmoid(np.ones(9), np.arange(9) < 3)[0] == 0


def test_probabilities_of_other_rows_have_a_low_log_loss() -> None:
    scores, positive = drawn(300, 0.3)
    slope, offset = fit_sigmoid(scores, positive)
    others, truth = drawn(5000, 0.3, seed=1)

    found = log_loss(truth, sigmoid(slope * others + offset))

    best = log_loss(truth, sigmoid(1.5 * others - 1.5**2 / 2 + np.log(0.3 / 0.7)))  # of the true model
    assert best <= found < best + 0.01


def test_logits_of_any_size_have_a_probability() -> None:
    assert sigmoid(np.array([-1e30, 0.0, 1e30])).tolist() == [0.0, 0.5, 1.0]


@pytest.mark.parametrize("share", [0.05, 0.3, 0.8])
def test_the_threshold_is_nearly_that_of_best_f1_on_other_rows(share: float) -> None:
    scores, positive = drawn(400, share)
    slope, offset = fit_sigmoid(scores, positive)
    others, truth = drawn(20_000, share, seed=1)
    p = sigmoid(slope * others + offset)

    found = f1_threshold(sigmoid(slope * scores + offset), slope)

    best = max(f1_score(truth, p >= threshold) for threshold in np.linspace(0.02, 0.98, 49))
    assert f1_score(truth, p >= found) > best - 0.02
    assert share > 0.5 or f1_score(truth, p >= found) > f1_score(truth, p >= 0.5)


def test_a_label_that_cannot_be_told_is_predicted_for_rows_that_probably_have_it() -> None:
    assert f1_threshold(np.full(20, 0.1), slope=0) == MIDDLE

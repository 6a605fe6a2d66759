"""Gaussian discriminants of heads, and their scores of rows that were left out."""

import numpy as np
import pytest
from sklearn.covariance import OAS
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

from savs.estimators import hec
from savs.estimators.hec import FLATTENING, FLOOR, fit_hec, oas_shrinkage
from savs.estimators.temperature import softmax
from tests.savs.estimators.drawn import SPANS, WIDTH, numbers_of, rows_of, unit

NUMBERS = numbers_of(21)
ROWS = rows_of(NUMBERS)
NEW = rows_of(numbers_of(30), seed=2)


def left_out(x: np.ndarray, numbers: np.ndarray, row: int) -> np.ndarray:
    """The probabilities of a row by one head's fit on the others, with the shrinkage of all, written out."""
    classes, (n, width) = int(numbers.max()) + 1, x.shape
    apart = x - np.stack([x[numbers == c].mean(0) for c in range(classes)])[numbers]
    covariance = apart.T @ apart / n
    rho = oas_shrinkage(covariance, n)
    added = (rho * np.trace(covariance) + FLOOR) / width * np.eye(width)
    others = np.arange(n) != row
    means = np.stack([x[others & (numbers == c)].mean(0) for c in range(classes)])
    apart = (x - means[numbers])[others]
    precision = np.linalg.inv((1 - rho) * apart.T @ apart / n + added)
    density = [-(x[row] - m) @ precision @ (x[row] - m) / 2 for m in means]
    found: np.ndarray = softmax((np.array(density) + np.log(np.bincount(numbers) / n)) / FLATTENING)
    return found


def test_each_row_is_scored_by_the_fit_on_the_others() -> None:
    found = fit_hec(ROWS, NUMBERS, 3, SPANS, len(SPANS))

    x = unit(ROWS)
    for row in range(len(ROWS)):
        want = np.mean([left_out(x[:, a:b], NUMBERS, row) for a, b in SPANS], axis=0)
        assert np.allclose(np.exp(found.loo[row]), want, atol=1e-6)


def test_a_head_ranks_classes_as_linear_discriminant_analysis_does(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hec, "FLOOR", 0.0)
    columns, numbers = slice(*SPANS[3]), np.repeat([0, 1, 2], [5, 7, 9])  # classes of several sizes
    rows = rows_of(numbers)[:, columns]
    new = unit_of(NEW[:, columns])

    found = fit_hec(rows, numbers, 3, [(0, rows.shape[1])], 1)

    class Within(OAS):
        """OAS of the deviations from the classes' means, which scikit-learn estimates class by class."""

        def fit(self, x: np.ndarray, y: None = None) -> "Within":
            apart = unit_of(rows) - np.stack([unit_of(rows)[numbers == c].mean(0) for c in range(3)])[numbers]
            self.covariance_ = OAS(assume_centered=True).fit(apart).covariance_
            return self

    oracle = LinearDiscriminantAnalysis(solver="lsqr", covariance_estimator=Within())
    oracle.fit(unit_of(rows), numbers)
    mine = (new @ found.weights[0] + found.intercepts[0]) * FLATTENING
    assert np.allclose(softmax(mine), oracle.predict_proba(new), atol=1e-6)


def unit_of(rows: np.ndarray) -> np.ndarray:
    found: np.ndarray = rows / np.linalg.norm(rows.astype(float), axis=1, keepdims=True)
    return found


@pytest.mark.parametrize("n", [2, 5, 50])
def test_the_shrinkage_is_that_of_scikit_learn(n: int) -> None:
    rows = np.random.default_rng(n).normal(size=(n, 6)) * [1, 1, 1, 3, 3, 9]

    found = oas_shrinkage(rows.T @ rows / n, n)

    assert found == pytest.approx(OAS(assume_centered=True).fit(rows).shrinkage_)


def test_the_best_heads_are_those_that_name_left_out_rows_with_most_probability() -> None:
    rows = ROWS.copy()
    noise = np.random.default_rng(5)
    for head in (0, 1):  # these know nothing of the classes
        rows[:, slice(*SPANS[head])] = noise.normal(size=(len(rows), SPANS[head][1] - SPANS[head][0]))

    found = fit_hec(rows, NUMBERS, 3, SPANS, len(SPANS))

    assert found.heads[0] == 3
    assert fit_hec(rows, NUMBERS, 3, SPANS, 1).heads == found.heads[:1]


def test_the_only_example_of_a_class_is_not_left_out() -> None:
    numbers = np.array([0, 0, 0, 1, 1, 2])

    found = fit_hec(rows_of(numbers), numbers, 3, SPANS, 2)

    assert found.rows.tolist() == [0, 1, 2, 3, 4]
    assert np.isfinite(found.loo).all() and np.isfinite(found.intercepts).all()


def test_one_example_per_class_can_be_fitted() -> None:
    found = fit_hec(rows_of(np.arange(3)), np.arange(3), 3, SPANS, 2)

    assert found.loo.shape == (0, 3) and all(np.isfinite(one).all() for one in found.weights)


def test_heads_that_are_constant_or_zero_do_no_harm() -> None:
    rows = ROWS.copy()
    rows[:, slice(*SPANS[0])] = 0
    rows[:, slice(*SPANS[1])] = 3.0

    found = fit_hec(rows, NUMBERS, 3, SPANS, len(SPANS))

    assert np.isfinite(found.loo).all() and rows.shape[1] == WIDTH
    assert set(found.heads[:2]) == {2, 3}

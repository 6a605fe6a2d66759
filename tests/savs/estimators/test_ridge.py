"""The ridge, with scikit-learn's as the oracle."""

import numpy as np
import pytest
from sklearn.linear_model import Ridge

from savs.estimators.ridge import (
    HEAD_PENALTIES,
    PENALTIES,
    RidgeFit,
    fit_ridge,
    gram,
    loo_explained,
)
from tests.savs.estimators.drawn import numbers_of, onehot, rows_of


def refitted(features: np.ndarray, targets: np.ndarray, alpha: float, row: int) -> np.ndarray:
    """The scores of a row by a ridge that is fitted on the others."""
    others = np.arange(len(features)) != row
    found = Ridge(alpha=alpha, solver="cholesky").fit(features[others], targets[others])
    return np.asarray(found.predict(features[row : row + 1]))[0]


def scores_of(fit: RidgeFit, features: np.ndarray, rows: np.ndarray) -> np.ndarray:
    centred = features - features.mean(0)
    return np.asarray((rows - features.mean(0)) @ centred.T @ fit.dual + fit.intercept)


@pytest.mark.parametrize("n", [9, 40])  # fewer and more rows than features
@pytest.mark.parametrize("penalty", [1e-4, 1e-2, 10.0])
def test_scores_equal_those_of_scikit_learn_with_its_intercept(n: int, penalty: float) -> None:
    numbers = numbers_of(n)
    features, new = rows_of(numbers).astype(float), rows_of(numbers_of(20), seed=1).astype(float)

    found = fit_ridge(features @ features.T, onehot(numbers), [penalty])

    want = Ridge(alpha=penalty * n, solver="cholesky").fit(features, onehot(numbers))
    assert found.penalty == penalty
    assert np.allclose(scores_of(found, features, new), want.predict(new), atol=1e-8)


@pytest.mark.parametrize("n", [9, 40])
@pytest.mark.parametrize("penalty", [1e-4, 1e-2, 10.0])
def test_leave_one_out_scores_equal_refits(n: int, penalty: float) -> None:
    numbers = numbers_of(n)
    features, targets = rows_of(numbers).astype(float), onehot(numbers)

    found = fit_ridge(features @ features.T, targets, [penalty])

    want = [refitted(features, targets, penalty * n, row) for row in range(n)]
    assert np.allclose(found.loo, want, atol=1e-6)


@pytest.mark.parametrize("noise", [0.2, 3.0])
def test_the_penalty_is_that_of_the_least_error_of_refits(noise: float) -> None:
    numbers = numbers_of(12)
    features, targets = rows_of(numbers, noise=noise).astype(float), onehot(numbers)

    found = fit_ridge(features @ features.T, targets)

    def error(penalty: float) -> float:
        wrong = [targets[row] - refitted(features, targets, penalty * 12, row) for row in range(12)]
        return float(np.mean(np.square(wrong)))

    assert found.penalty == min(PENALTIES, key=error)


def test_noisier_rows_are_penalised_more() -> None:
    clear, noisy = (
        fit_ridge(gram(rows_of(numbers_of(60), noise=noise)), onehot(numbers_of(60))).penalty
        for noise in (0.1, 5.0)
    )
    assert clear < noisy


def test_the_penalties_are_those_of_the_published_grid() -> None:
    assert np.allclose(np.log10(PENALTIES), np.arange(-4, 2.1, 0.5))
    assert HEAD_PENALTIES == (0.01, 0.1, 1.0)


def test_the_origin_of_the_features_does_not_matter() -> None:
    numbers = numbers_of(12)
    features, targets = rows_of(numbers).astype(float), onehot(numbers)

    here, there = (fit_ridge(moved @ moved.T, targets) for moved in (features, features + 7))

    assert np.allclose(here.dual, there.dual) and np.allclose(here.loo, there.loo)


def test_a_row_that_decides_alone_over_its_score_gives_no_infinity() -> None:
    features = np.eye(4) * 1e4

    found = fit_ridge(features @ features.T, onehot(numbers_of(4, 2)), [1e-12])

    assert np.isfinite(found.loo).all()


def test_the_inner_products_of_many_columns_keep_their_digits() -> None:
    features = np.random.default_rng(0).normal(size=(5, 20_000)).astype(np.float32)

    found = gram(features)

    wide = features.astype(float)
    assert found.dtype == np.float64
    assert np.allclose(found, wide @ wide.T, rtol=1e-5, atol=1e-2)


@pytest.mark.parametrize("width", [1, 4, 15, 128])
@pytest.mark.parametrize("n", [9, 40])
def test_what_one_head_explains_equals_refits(n: int, width: int) -> None:
    numbers = numbers_of(n)
    mixed = np.random.default_rng(1).normal(size=(15, max(width, 15)))
    features, targets = (rows_of(numbers) @ mixed)[:, :width].astype(float), onehot(numbers)

    found = loo_explained(features.astype(np.float32), targets, HEAD_PENALTIES)

    size = np.trace(np.cov(features.T, bias=True).reshape(width, width)) * n / width  # the mean eigenvalue
    total = np.square(targets - targets.mean(0)).sum()
    wrong = [
        sum(
            np.square(targets[row] - refitted(features, targets, share * size, row)).sum() for row in range(n)
        )
        for share in HEAD_PENALTIES
    ]
    assert found == pytest.approx(1 - min(wrong) / total, abs=1e-5)


def test_a_wide_head_of_noise_explains_nothing_of_few_rows() -> None:
    """A fit that goes through every row is no proof: its leave-one-out errors are large."""
    noise = np.random.default_rng(0).normal(size=(6, 128)).astype(np.float32)

    assert loo_explained(noise, onehot(numbers_of(6, 2)), HEAD_PENALTIES) < 0.1


def test_a_head_that_never_changes_explains_nothing() -> None:
    assert loo_explained(np.full((9, 4), 0.5, np.float32), onehot(numbers_of(9)), HEAD_PENALTIES) == 0


def test_a_head_of_noise_explains_nothing_and_one_that_knows_the_class_everything() -> None:
    numbers = numbers_of(60)
    noise = np.random.default_rng(0).normal(size=(60, 4))

    assert loo_explained(noise, onehot(numbers), HEAD_PENALTIES) < 0.05
    assert loo_explained(onehot(numbers), onehot(numbers), HEAD_PENALTIES) > 0.95

"""A ridge with several labels per item."""

import numpy as np
import pytest
from sklearn.linear_model import Ridge

from savs.estimators.features import fit_scaling
from savs.estimators.multi import fit_multi
from savs.estimators.ridge import PENALTIES, fit_ridge, gram
from savs.estimators.sigmoid import sigmoid
from tests.savs.estimators.drawn import SPANS, numbers_of, rows_of


def several(n: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Vectors float32 [n, WIDTH] whose class and noise give labels, and bool [n, 4]: which rows have which;
    some have none."""
    numbers = np.random.default_rng(seed).integers(0, 4, n)
    numbers[:4] = range(4)
    targets = np.stack([numbers == 0, numbers <= 1, numbers == 2, numbers % 2 == 0], axis=1)
    return rows_of(numbers, seed=seed, noise=0.5), targets


def test_scores_are_those_of_a_ridge_of_each_label_alone() -> None:
    vectors, targets = several(30)
    others, _ = several(40, seed=1)

    found = fit_multi(vectors, targets, SPANS).map.scores(others)

    scaling, _, _ = fit_scaling(vectors, targets.astype(float), SPANS)
    features, new = (scaling.apply(one).astype(float) for one in (vectors, others))
    penalty = fit_ridge(gram(features), targets.astype(float), PENALTIES).penalty
    for label in range(targets.shape[1]):
        want = Ridge(alpha=penalty * 30).fit(features, targets[:, label].astype(float)).predict(new)
        assert np.allclose(found[:, label], want, atol=1e-4)


def test_probabilities_of_other_rows_tell_the_labels() -> None:
    vectors, targets = several(60)
    others, truth = several(400, seed=1)

    fit = fit_multi(vectors, targets, SPANS)

    p = sigmoid(fit.map.scores(others) * fit.slopes + fit.offsets)
    assert ((p >= fit.thresholds) == truth).mean() > 0.93
    assert np.allclose(p.mean(0), truth.mean(0), atol=0.06)


def test_rows_of_a_corpus_only_change_the_scale_of_the_features() -> None:
    vectors, targets = several(60)
    others, truth = several(300, seed=1)

    fit = fit_multi(vectors, targets, SPANS, others)

    assert not np.allclose(fit.map.weights, fit_multi(vectors, targets, SPANS).map.weights)
    p = sigmoid(fit.map.scores(others) * fit.slopes + fit.offsets)
    assert ((p >= fit.thresholds) == truth).mean() > 0.93


def test_a_corpus_that_looks_unlike_is_standardised_by_its_own_statistics() -> None:
    vectors, targets = several(60)
    others, _ = several(300, seed=1)
    shifted = others * np.where(np.arange(others.shape[1]) % 3 == 0, -1, 1).astype(np.float32) + 4

    apart = fit_multi(vectors, targets, SPANS, shifted, apart=True)
    joint = fit_multi(vectors, targets, SPANS, shifted)

    # the mean row of each side has the mean score of the examples
    assert np.allclose(apart.map.scores(shifted).mean(0), targets.mean(0), atol=1e-3)
    assert not np.allclose(joint.map.scores(shifted).mean(0), targets.mean(0), atol=1e-3)


@pytest.mark.parametrize("n", [3, 5])
def test_few_examples_give_finite_numbers(n: int) -> None:
    vectors = rows_of(numbers_of(n))
    targets = np.zeros((n, 2), bool)
    targets[0] = True

    fit = fit_multi(vectors, targets, SPANS)

    for part in (fit.map.weights, fit.map.intercept, fit.slopes, fit.offsets, fit.thresholds, fit.loo):
        assert np.isfinite(part).all()

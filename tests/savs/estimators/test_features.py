"""The features of the linear readouts."""

import numpy as np
import pytest

from savs.estimators.features import FLOOR, LEAST_WEIGHT, fit_scaling, unit_rows
from savs.estimators.ridge import HEAD_PENALTIES, loo_explained
from tests.savs.estimators.drawn import SPANS, WIDTH, numbers_of, onehot, rows_of, unit

NUMBERS = numbers_of(30)
LABELLED = rows_of(NUMBERS)
UNLABELLED = rows_of(numbers_of(50), seed=1, shift=0.5)


def standardised(values: np.ndarray, by: np.ndarray) -> np.ndarray:
    """(x̂ − m) / sqrt(v + (0.01 ρ)²) by the statistics of other rows, written out."""
    own, others = unit(values), unit(by)
    floor = np.concatenate([np.full(b - a, 0.01**2 * np.mean(others[:, a:b] ** 2)) for a, b in SPANS])
    return np.asarray((own - others.mean(0)) / np.sqrt(others.var(0) + floor))


def weighted(plain: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Features times the roots of their heads' weights."""
    return np.asarray(plain * np.repeat(np.sqrt(weights), [b - a for a, b in SPANS]))


def test_every_head_has_length_one_and_zeros_stay_zeros() -> None:
    values = rows_of(numbers_of(600)) * np.float32(1e-6)
    values[5, 3:8] = 0

    found = np.concatenate([block for _, block in unit_rows(values, SPANS)])

    lengths = np.stack([np.linalg.norm(found[:, a:b], axis=1) for a, b in SPANS], axis=1)
    assert found.shape == values.shape
    assert lengths[5, 1] == 0
    lengths[5, 1] = 1
    assert np.allclose(lengths, 1)


def test_features_equal_the_formula() -> None:
    scaling, same, weights = fit_scaling(LABELLED, onehot(NUMBERS), SPANS, UNLABELLED)

    both = np.concatenate([LABELLED, UNLABELLED])
    plain = weighted(standardised(LABELLED, both), weights)
    size = np.sqrt(np.square(plain - plain.mean(0)).sum(1).mean())
    assert same is not None and np.array_equal(same.scale, scaling.scale)
    assert np.allclose(scaling.apply(LABELLED), plain / size, atol=1e-5)
    new = weighted(standardised(UNLABELLED, both), weights)
    assert np.allclose(scaling.apply(UNLABELLED), new / size, atol=1e-5)


def test_sides_apart_are_standardised_each_by_itself() -> None:
    ours, theirs, weights = fit_scaling(LABELLED, onehot(NUMBERS), SPANS, UNLABELLED, apart=True)

    plain = weighted(standardised(LABELLED, LABELLED), weights)
    size = np.sqrt(np.square(plain - plain.mean(0)).sum(1).mean())
    assert np.allclose(ours.apply(LABELLED), plain / size, atol=1e-5)
    new = weighted(standardised(UNLABELLED, UNLABELLED), weights)
    assert np.allclose(theirs.apply(UNLABELLED), new / size, atol=1e-5)
    assert np.allclose(ours.apply(LABELLED).mean(0), 0, atol=1e-6)
    assert np.allclose(theirs.apply(UNLABELLED).mean(0), 0, atol=1e-6)


@pytest.mark.parametrize("apart", [False, True])
@pytest.mark.parametrize("unlabelled", [None, UNLABELLED])
def test_labelled_rows_have_a_mean_squared_length_of_one_about_their_mean(
    unlabelled: np.ndarray | None, apart: bool
) -> None:
    scaling, _, _ = fit_scaling(LABELLED, onehot(NUMBERS), SPANS, unlabelled, apart)

    features = scaling.apply(LABELLED).astype(float)
    assert np.square(features - features.mean(0)).sum(1).mean() == pytest.approx(1, abs=1e-5)


def test_heads_weigh_what_they_explain() -> None:
    values = LABELLED.copy()
    values[:, 9:15] = np.random.default_rng(5).normal(size=(30, 6))  # this head knows nothing
    targets = onehot(NUMBERS)

    _, _, weights = fit_scaling(values, targets, SPANS)

    plain = standardised(values, values)
    explained = np.array([loo_explained(plain[:, a:b], targets, HEAD_PENALTIES) for a, b in SPANS])
    want = np.maximum(explained, 0) + LEAST_WEIGHT * explained.max()
    assert np.allclose(weights, want / want.mean(), atol=1e-3)
    assert weights.argmin() == 3 and 0 < weights[3] < 0.2 * weights.max()
    assert weights.mean() == pytest.approx(1)


def test_heads_weigh_the_same_if_none_explains_anything() -> None:
    values = np.ones((30, WIDTH), np.float32)

    _, _, weights = fit_scaling(values, onehot(NUMBERS), SPANS)

    assert np.array_equal(weights, np.ones(4))


def test_heads_that_are_constant_up_to_rounding_stay_small() -> None:
    values = LABELLED.copy()
    rounding = 1 + 1e-7 * np.random.default_rng(5).normal(size=(30, 5))
    values[:, 3:8] = np.array([1, -2, 3, 0.5, 1]) * rounding
    scaling, _, _ = fit_scaling(values, onehot(NUMBERS), SPANS)

    assert np.abs(scaling.apply(values)[:, 3:8]).max() < 1e-3
    # and a row in which the head is another one does not explode: 1 / 0.01 of its length, at most
    other = values[:1].copy()
    other[:, 3:8] = -other[:, 3:8]
    assert np.abs(scaling.apply(other)).max() < 2 * np.sqrt(5) / FLOOR


@pytest.mark.parametrize("rows", [LABELLED, UNLABELLED])
def test_a_head_of_zeros_or_of_one_number_of_one_sign_adds_nothing(rows: np.ndarray) -> None:
    values, others = np.abs(LABELLED), np.abs(rows)
    values[:, 0:3] = 0
    others[:, 0:3] = 0
    scaling, _, _ = fit_scaling(values, onehot(NUMBERS), SPANS, others)

    features = scaling.apply(values)

    assert np.isfinite(scaling.scale).all() and np.isfinite(features).all()
    assert not features[:, 0:3].any() and not features[:, 8].any()
    assert np.isfinite(scaling.apply(LABELLED)).all()


def test_the_size_of_a_heads_vectors_does_not_matter() -> None:
    sized = LABELLED.copy()
    for number, (a, b) in enumerate(SPANS):
        sized[:, a:b] *= np.float32(10.0 ** (3 * number - 6))

    one, _, _ = fit_scaling(LABELLED, onehot(NUMBERS), SPANS)
    other, _, _ = fit_scaling(sized, onehot(NUMBERS), SPANS)

    assert np.allclose(one.apply(LABELLED), other.apply(sized), atol=1e-4)

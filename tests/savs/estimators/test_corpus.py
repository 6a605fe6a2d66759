"""The fit that learns from unlabelled rows, with a weighted ridge of scikit-learn as the oracle."""

import numpy as np
import pytest
from sklearn.linear_model import Ridge

from savs.estimators.corpus import PENALTY, ROUNDS, CorpusFit, fit_corpus
from savs.estimators.temperature import fit_temperature, softmax
from tests.savs.estimators.drawn import numbers_of, onehot, rows_of

N, M = 9, 30
NUMBERS = numbers_of(N)
TARGETS = onehot(NUMBERS)
FEATURES = np.concatenate([rows_of(NUMBERS), rows_of(numbers_of(M), seed=1)]).astype(float) / 4
SHARES = np.array([0.5 / N] * N + [0.5 / M] * M)


def start_of(m: int = M) -> np.ndarray:
    return np.asarray(np.random.default_rng(0).dirichlet([1, 1, 1], m))


def fitted() -> CorpusFit:
    return fit_corpus(FEATURES @ FEATURES.T, TARGETS, NUMBERS, start_of())


def weighted(targets: np.ndarray, kept: np.ndarray, penalty: float) -> Ridge:
    ridge = Ridge(alpha=penalty, solver="cholesky")
    return ridge.fit(FEATURES[kept], targets[kept], sample_weight=SHARES[kept])


def by_refits(penalty: float) -> tuple[np.ndarray, Ridge]:
    """The scores of all rows in the last round, and its ridge: each row is scored by a fit in which it does
    not count and the others keep their weights."""
    rows = np.arange(N + M)
    guess = start_of()
    for _ in range(ROUNDS):
        targets = np.concatenate([TARGETS, guess])
        free = np.array([weighted(targets, rows != i, penalty).predict(FEATURES[[i]])[0] for i in rows])
        guess = softmax(free[N:] / fit_temperature(free[:N], NUMBERS))
    return free, weighted(targets, rows >= 0, penalty)


def test_every_round_equals_refits_without_each_row() -> None:
    found = fitted()

    free, ridge = by_refits(3 * PENALTY)

    assert np.allclose(found.loo, free[:N], atol=1e-6)
    assert found.temperature == fit_temperature(free[:N], NUMBERS)
    new = rows_of(numbers_of(20), seed=2).astype(float) / 4
    centre = found.shares @ FEATURES
    scores = (new - centre) @ (FEATURES - centre).T @ found.dual + found.intercept
    assert np.allclose(scores, ridge.predict(new), atol=1e-6)


def test_a_row_without_its_own_target_is_one_whose_target_is_its_own_score() -> None:
    """What the formula says: the row stays, with its weight, and is told what the fit says of it."""
    found, row = fitted(), 4
    guess = start_of()
    rows = np.arange(N + M)
    for _ in range(ROUNDS - 1):
        targets = np.concatenate([TARGETS, guess])
        free = np.array([weighted(targets, rows != i, 3 * PENALTY).predict(FEATURES[[i]])[0] for i in rows])
        guess = softmax(free[N:] / fit_temperature(free[:N], NUMBERS))
    targets = np.concatenate([TARGETS, guess])
    targets[row] = found.loo[row]

    again = weighted(targets, rows >= 0, 3 * PENALTY).predict(FEATURES[[row]])[0]

    assert np.allclose(again, found.loo[row], atol=1e-6)


def test_the_weights_of_both_sides_are_one_half() -> None:
    shares = fitted().shares

    assert shares.sum() == pytest.approx(1)
    assert shares[:N].sum() == pytest.approx(0.5)
    assert len(set(shares[:N])) == len(set(shares[N:])) == 1


def test_the_same_rows_give_the_same_fit() -> None:
    one, other = fitted(), fitted()

    assert np.array_equal(one.dual, other.dual) and np.array_equal(one.loo, other.loo)
    assert one.temperature == other.temperature


def test_a_guess_that_is_wrong_at_first_is_corrected() -> None:
    """Unlabelled rows of which the start says nothing take the class of their labelled neighbours."""
    numbers = numbers_of(6)
    hidden = numbers_of(300)
    features = np.concatenate([rows_of(numbers, noise=0.3), rows_of(hidden, seed=1, noise=0.3)]).astype(float)

    found = fit_corpus(features @ features.T, onehot(numbers), numbers, np.full((300, 3), 1 / 3))

    centre = found.shares @ features
    scores = (features[6:] - centre) @ (features - centre).T @ found.dual + found.intercept
    assert np.mean(scores.argmax(1) == hidden) > 0.98

"""The vote without each example, with n fits as the oracle."""

import numpy as np
import pytest

from savs.engine.vectors import HeadVectors
from savs.estimators.vote_loo import head_scores, vote_without, winners
from savs.readout.classify import classify
from savs.readout.fit import fit_vote
from tests.savs.data.drawing import head_vectors

SIZES = ((8, 4), (3, 6), (1, 3))
SPANS = [(4 * i, 4 * i + 4) for i in range(8)] + [(32, 38), (38, 44), (44, 50), (50, 53)]


def drawn(numbers: np.ndarray, seed: int = 0) -> HeadVectors:
    centres = np.random.default_rng(99).normal(size=(10, 53))
    rows = centres[numbers] + 2 * np.random.default_rng(seed).normal(size=(len(numbers), 53))
    return head_vectors(rows, *SIZES)


@pytest.mark.parametrize("classes", [2, 3, 5])
@pytest.mark.parametrize("heads", [1, 4, 12])
@pytest.mark.parametrize("seed", [0, 1])
def test_votes_and_winners_equal_fits_without_each_row(classes: int, heads: int, seed: int) -> None:
    numbers = np.concatenate([np.arange(classes), np.random.default_rng(seed).integers(0, classes, 14)])
    vectors = drawn(numbers, seed)

    named = vote_without(vectors.values, numbers, classes, SPANS, heads)
    won = winners(named)

    assert named.shape == (len(numbers), heads)
    for row in range(len(numbers)):
        rest = np.arange(len(numbers)) != row
        present = sorted(set(numbers[rest].tolist()))
        readout = fit_vote(vectors[rest], [str(c) for c in numbers[rest]], heads, [str(c) for c in present])
        answer = classify(readout, vectors[row : row + 1])[0]
        votes = {str(c): int(np.sum(named[row] == c)) for c in present}
        assert votes == answer.votes
        assert str(won[row]) == answer.prediction  # ties too


def test_of_equal_votes_the_best_head_decides() -> None:
    assert winners(np.array([[2, 1, 1, 2], [1, 2, 2, 1], [0, 1, 1, 1]])).tolist() == [2, 1, 1]


def test_the_only_example_of_a_class_gets_no_vote_for_it() -> None:
    numbers = np.array([0, 1, 0, 1, 2, 0, 1])

    named = vote_without(drawn(numbers).values, numbers, 3, SPANS, 12)

    assert 2 not in named[4] and 2 in named[numbers != 2]
    # nor if it points away from all others
    rows = np.array([[-1, 0.1], [-1, -0.1], [-1, 0.1], [-1, -0.1], [1, 0]], np.float32)
    assert vote_without(rows, np.array([0, 1, 0, 1, 2]), 3, [(0, 2)], 1)[4, 0] != 2


def test_a_head_of_zeros_names_a_class_and_nothing_breaks() -> None:
    vectors = drawn(np.arange(12) % 3)
    vectors.values[:, 4:8] = 0

    named = vote_without(vectors.values, np.arange(12) % 3, 3, SPANS, 12)

    assert set(np.unique(named)) <= {0, 1, 2}


@pytest.mark.parametrize("classes", [2, 5])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_the_heads_scores_are_those_of_the_published_fit(classes: int, seed: int) -> None:
    numbers = np.arange(40) % classes
    vectors = drawn(numbers, seed)

    found = head_scores(vectors.values, numbers, classes, SPANS)

    want = fit_vote(vectors, [str(c) for c in numbers], 1, [str(c) for c in range(classes)]).scores
    assert found.dtype == want.dtype and np.array_equal(found, want)

"""The linear readouts as maps of head vectors, and their scores of rows that were held out."""

from dataclasses import replace

import numpy as np
import pytest

from savs.estimators.corpus import fit_corpus
from savs.estimators.features import fit_scaling
from savs.estimators.linear import LinearMap, Problem, fit_linear, fold_numbers, hold_out
from savs.estimators.ridge import fit_ridge, gram
from savs.estimators.temperature import fit_temperature, softmax
from tests.savs.estimators.drawn import SPANS, WIDTH, numbers_of, onehot, rows_of, unit

NUMBERS = numbers_of(15)
LABELLED = rows_of(NUMBERS)
UNLABELLED = rows_of(numbers_of(60), seed=1, shift=0.3)
NEW = rows_of(numbers_of(300), seed=2)
RIDGE = Problem(LABELLED, NUMBERS, 3, SPANS)
CORPUS = Problem(LABELLED, NUMBERS, 3, SPANS, UNLABELLED)
APART = replace(CORPUS, apart=True)


def centred_scores(
    rows: np.ndarray, features: np.ndarray, shares: np.ndarray, dual: np.ndarray, intercept: np.ndarray
) -> np.ndarray:
    """The dual form: (z − z̄) Z_cᵀ dual + intercept."""
    wide, centre = features.astype(float), shares @ features.astype(float)
    return np.asarray((rows - centre) @ (wide - centre).T @ dual + intercept)


def explicit(problem: Problem, new: np.ndarray, for_labelled: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """The scores of both readouts in the space of features, without a map of raw vectors."""
    assert problem.unlabelled is not None
    targets, n = onehot(problem.numbers), len(problem.numbers)
    ours, theirs, _ = fit_scaling(problem.labelled, targets, SPANS, problem.unlabelled, problem.apart)
    own, other = ours.apply(problem.labelled), theirs.apply(problem.unlabelled)
    ridge = fit_ridge(gram(own), targets)
    even = np.full(n, 1 / n)
    start = centred_scores(other, own, even, ridge.dual, ridge.intercept)
    start = softmax(start / fit_temperature(ridge.loo, problem.numbers))
    both = np.concatenate([own, other])
    fit = fit_corpus(gram(both), targets, problem.numbers, start)
    z = (ours if for_labelled else theirs).apply(new)
    one = centred_scores(z, own, even, ridge.dual, ridge.intercept)
    return one, (one + centred_scores(z, both, fit.shares, fit.dual, fit.intercept)) / 2


def test_a_map_is_a_product_with_heads_of_length_one() -> None:
    rng = np.random.default_rng(0)
    weights, intercept = rng.normal(size=(WIDTH, 3)), rng.normal(size=3)

    found = LinearMap(SPANS, weights, intercept).scores(NEW)

    assert np.allclose(found, unit(NEW) @ weights + intercept, atol=1e-5)  # lengths are float32


def test_the_ridges_map_equals_its_features_and_weights() -> None:
    found = fit_linear(RIDGE)

    scaling, _, _ = fit_scaling(LABELLED, onehot(NUMBERS), SPANS)
    features = scaling.apply(LABELLED)
    ridge = fit_ridge(gram(features), onehot(NUMBERS))
    even = np.full(15, 1 / 15)
    want = centred_scores(scaling.apply(NEW), features, even, ridge.dual, ridge.intercept)
    assert found.corpus is None and found.corpus_loo is None
    assert np.allclose(found.ridge.scores(NEW), want, atol=1e-4)
    assert np.array_equal(found.ridge_loo, ridge.loo)


@pytest.mark.parametrize("problem", [CORPUS, APART])
@pytest.mark.parametrize("for_labelled", [False, True])
def test_both_maps_equal_their_features_and_weights(problem: Problem, for_labelled: bool) -> None:
    found = fit_linear(problem, for_labelled)

    ridge, corpus = explicit(problem, NEW, for_labelled)
    assert found.corpus is not None
    assert np.allclose(found.ridge.scores(NEW), ridge, atol=1e-3)
    assert np.allclose(found.corpus.scores(NEW), corpus, atol=1e-3)


def test_which_rows_it_is_for_matters_only_if_they_are_standardised_apart() -> None:
    for problem, same in ((CORPUS, True), (APART, False)):
        one, other = fit_linear(problem), fit_linear(problem, for_labelled=True)
        assert np.allclose(one.ridge.weights, other.ridge.weights) == same


def test_new_rows_are_told_apart_and_better_with_the_corpus() -> None:
    """Three examples per class, all else equal."""
    numbers, true = numbers_of(9), numbers_of(300)
    right = np.zeros(2)
    for seed in range(10, 20):
        few = Problem(rows_of(numbers, seed), numbers, 3, SPANS, rows_of(numbers_of(400), seed + 100))
        found = fit_linear(few)
        assert found.corpus is not None
        for place, readout in enumerate((found.ridge, found.corpus)):
            right[place] += np.mean(readout.scores(NEW).argmax(1) == true) / 10
    assert 0.6 < right[0] < right[1]


def test_some_heads_alone_are_a_problem_of_their_own() -> None:
    some = CORPUS.only(np.array([1, 3]))

    columns = [*range(3, 8), *range(9, 15)]
    assert some.spans == ((0, 5), (5, 11))
    assert np.array_equal(some.labelled, LABELLED[:, columns])
    assert some.unlabelled is not None and np.array_equal(some.unlabelled, UNLABELLED[:, columns])
    assert len(fit_linear(some).weights) == 2


def test_folds_have_the_shares_of_the_classes() -> None:
    numbers = np.array([0] * 7 + [1] * 20 + [2] * 7)

    place = fold_numbers(numbers, 5)

    counts = np.array([[np.sum((numbers == c) & (place == f)) for f in range(5)] for c in range(3)])
    assert counts[1].tolist() == [4] * 5
    assert set(counts[0]) == set(counts[2]) == {1, 2}
    assert np.ptp(counts.sum(0)) <= 1


def test_classes_of_one_example_are_never_held_out() -> None:
    numbers = np.array([0, 1, 2, 0, 2, 3, 0])

    place = fold_numbers(numbers, 5)

    assert np.flatnonzero(place < 0).tolist() == [1, 5]
    for fold in range(5):  # and of every other class an example stays
        assert set(numbers[place != fold]) == {0, 1, 2, 3}


@pytest.mark.parametrize("problem", [RIDGE, CORPUS, APART])
def test_held_out_scores_equal_fits_without_the_fold(problem: Problem) -> None:
    place = fold_numbers(NUMBERS, 5)

    held = hold_out(problem)

    assert held.rows.tolist() == list(range(15))
    for fold in range(5):
        out = place == fold
        rest = replace(problem, labelled=LABELLED[~out], numbers=NUMBERS[~out])
        found = fit_linear(rest, for_labelled=True)
        assert np.allclose(held.ridge[out], found.ridge.scores(LABELLED[out]))
        if problem.unlabelled is None:
            assert held.corpus is None
        else:
            assert held.corpus is not None and found.corpus is not None
            assert np.allclose(held.corpus[out], found.corpus.scores(LABELLED[out]))


@pytest.mark.parametrize("problem", [RIDGE, CORPUS, APART])
def test_a_rows_own_label_and_its_folds_do_not_change_its_held_out_score(problem: Problem) -> None:
    # Rows 0 and 1 are the first of their classes, which have five rows each: both are in fold 0, and still
    # are if their labels are exchanged.
    swapped = NUMBERS.copy()
    swapped[[0, 1]] = swapped[[1, 0]]
    before = fold_numbers(NUMBERS, 5)
    assert before[0] == before[1] and np.array_equal(fold_numbers(swapped, 5), before)

    one, other = hold_out(problem), hold_out(replace(problem, numbers=swapped))

    assert np.array_equal(one.ridge[:2], other.ridge[:2])
    assert not np.allclose(one.ridge[before != 0], other.ridge[before != 0])
    if one.corpus is not None and other.corpus is not None:
        assert np.array_equal(one.corpus[:2], other.corpus[:2])


def test_a_row_that_cannot_be_held_out_has_no_score() -> None:
    numbers = np.array([0, 1, 2] * 4 + [3] + [0, 1])
    problem = Problem(LABELLED, numbers, 4, SPANS, UNLABELLED)

    held = hold_out(problem)

    assert 12 not in held.rows and len(held.rows) == 14
    assert held.corpus is not None
    assert held.ridge.shape == held.corpus.shape == (14, 4)


def test_nothing_can_be_held_out_of_single_examples() -> None:
    held = hold_out(Problem(LABELLED[:3], np.arange(3), 3, SPANS))

    assert len(held.rows) == 0 and held.ridge.shape == (0, 3)

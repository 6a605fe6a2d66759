"""Varied items among doubtful ones."""

import numpy as np
import pytest

from savs.estimators.variety import pick_varied, sketch

RNG = np.random.default_rng(4)
CENTRES = RNG.normal(size=(6, 30)).astype(np.float32) * 5


def heaps(each: int) -> np.ndarray:
    """Six heaps of items, one after the other."""
    return (np.repeat(CENTRES, each, axis=0) + RNG.normal(size=(6 * each, 30)) * 0.5).astype(np.float32)


def test_one_item_of_each_heap_is_picked() -> None:
    assert sorted(place // 20 for place in pick_varied(heaps(20), 6, 120)) == [0, 1, 2, 3, 4, 5]


def test_the_same_vectors_give_the_same_items_the_most_doubtful_first() -> None:
    vectors = heaps(20)

    picked = pick_varied(vectors, 15, 120)

    assert picked == pick_varied(vectors.copy(), 15, 120) == sorted(picked)
    assert len(set(picked)) == 15


def test_copies_are_never_both_picked() -> None:
    vectors = np.repeat(CENTRES, 10, axis=0) + RNG.normal(size=(60, 30)).astype(np.float32) * 1e-3

    assert sorted(place // 10 for place in pick_varied(vectors, 30, 60)) == [0, 1, 2, 3, 4, 5]


@pytest.mark.parametrize(("items", "count"), [(0, 5), (1, 5), (3, 5), (5, 5), (5, 1), (5, 0)])
def test_never_more_are_picked_than_there_are_or_than_are_wanted(items: int, count: int) -> None:
    vectors = RNG.normal(size=(items, 8)).astype(np.float32)

    assert len(pick_varied(vectors, count, 20)) == min(items, count)


def test_only_the_most_doubtful_are_picked_from_and_copies_do_not_crowd_out_others() -> None:
    vectors = RNG.normal(size=(500, 30)).astype(np.float32)
    vectors[:300] = vectors[0]

    picked = pick_varied(vectors, 10, 40)

    assert len(picked) == 10 and max(picked) < 300 + 40


def test_equal_vectors_are_one_item() -> None:
    assert len(pick_varied(np.ones((9, 4), np.float32), 3, 9)) == 1


def test_a_sketch_keeps_distances_and_short_vectors_as_they_are() -> None:
    vectors = RNG.normal(size=(40, 3000)).astype(np.float32)

    small = sketch(vectors, 512)

    assert small.shape == (40, 512) and sketch(vectors, 3000) is vectors
    before, after = (((one[:, None] - one) ** 2).sum(-1)[np.triu_indices(40, 1)] for one in (vectors, small))
    assert np.abs(after / before - 1).max() < 0.35 and abs(after.mean() / before.mean() - 1) < 0.02

"""Fitting: centroids, scores, the order of heads, and what is refused."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from savs.data.samples import Sample
from savs.engine.vectors import HeadVectors
from savs.errors import FitError
from savs.readout.choice import fit
from savs.readout.fit import Readout
from tests.savs.data.drawing import head_vectors

RIGHT, UP = [1.0, 0.0], [0.0, 1.0]


def cosine(a: np.ndarray, b: np.ndarray) -> float:
    return float(a @ b / max(np.linalg.norm(a) * np.linalg.norm(b), 1e-12))


def random_vectors(rows: int, *sizes: tuple[int, int], seed: int = 0) -> HeadVectors:
    width = sum(heads * head_dim for heads, head_dim in sizes)
    return head_vectors(np.random.default_rng(seed).normal(size=(rows, width)), *sizes)


def pairs(readout: Readout) -> list[tuple[int, int]]:
    return [(layer, head) for layer, head in readout.heads.tolist()]


def test_centroids_are_means_of_raw_vectors() -> None:
    readout = fit(head_vectors([[2, 0], [4, 2], [0, 1], [0, 5]], (1, 2)), ["a", "a", "b", "b"], heads=1)
    assert readout.centroids[0].tolist() == [[3, 1], [0, 3]]
    assert readout.centroids[0].dtype == np.float32


def test_a_heads_score_counts_the_examples_nearest_to_their_own_class() -> None:
    # given a head that tells the classes apart, and one that sees the same in every example
    rows = [[*RIGHT, *UP], [*RIGHT, *UP], [*UP, *UP], [*UP, *UP], [*UP, *UP]]
    # if it is fitted
    readout = fit(head_vectors(rows, (2, 2)), ["a", "a", "b", "b", "b"], heads=2)
    # then the first is always right; the second names the first class, right for two
    assert readout.scores.tolist() == [5, 2]
    assert pairs(readout) == [(0, 0), (0, 1)]


def test_classes_are_numbered_in_order_of_first_appearance() -> None:
    readout = fit(random_vectors(4, (2, 3)), ["pear", "apple", "pear", "fig"], heads=1)
    assert readout.classes == ("pear", "apple", "fig")


def test_the_order_of_classes_can_be_given() -> None:
    vectors, labels = random_vectors(4, (1, 3)), ["pear", "apple", "pear", "fig"]
    readout = fit(vectors, labels, heads=1, classes=["apple", "fig", "pear"])
    assert readout.classes == ("apple", "fig", "pear")
    assert np.array_equal(readout.centroids[0][0], vectors.values[1])


def test_of_equal_cosines_the_smaller_class_number_is_nearest() -> None:
    # given two classes whose centroids point the same way
    vectors, labels = head_vectors([[2, 0], [1, 0], [4, 0], [3, 0]], (1, 2)), ["b", "a", "b", "a"]
    # then every example is named after the class that appeared first
    assert fit(vectors, labels, heads=1).scores.tolist() == [2]
    assert fit(vectors, ["b", "a", "a", "a"], heads=1).scores.tolist() == [1]


def test_heads_with_equal_counts_stand_in_the_order_of_numpys_default_sort() -> None:
    # given forty heads that all see the same, so that all have the same count
    rows = np.tile([RIGHT, RIGHT, UP], (1, 40))
    # if twenty are chosen
    readout = fit(head_vectors(rows, (8, 2), (32, 2)), ["a", "a", "b"], heads=20)
    # then they are those of the published call
    numbers = np.argsort(np.full(40, 3))[-20:][::-1]
    assert pairs(readout) == [(0, int(i)) if i < 8 else (1, int(i) - 8) for i in numbers]


@pytest.mark.parametrize("heads", range(1, 13))
def test_any_number_of_heads_can_be_chosen_up_to_all(heads: int) -> None:
    vectors = random_vectors(12, (4, 3), (4, 3), (4, 3))
    readout = fit(vectors, ["a", "b", "c"] * 4, heads=heads)
    order = np.argsort(readout.scores.astype(np.int64))[-heads:][::-1]
    assert pairs(readout) == [vectors.layout.heads()[i] for i in order]
    assert len(readout.centroids) == heads


def test_layers_may_differ_in_number_and_width_of_heads() -> None:
    # given a layer of two narrow heads and one of a single wide head
    rows = [[*RIGHT, *RIGHT, 9, 0, 0], [*UP, *RIGHT, 0, 9, 0], [*UP, *UP, 0, 0, 9]]
    # if all are chosen
    readout = fit(head_vectors(rows, (2, 2), (1, 3)), ["a", "b", "c"], heads=3)
    # then each head has centroids of its own width, cut from its own columns
    centroids = dict(zip(pairs(readout), readout.centroids, strict=True))
    assert centroids[0, 0].tolist() == [RIGHT, UP, UP]
    assert centroids[0, 1].tolist() == [RIGHT, RIGHT, UP]
    assert centroids[1, 0].tolist() == [[9, 0, 0], [0, 9, 0], [0, 0, 9]]
    # and the wide head, which alone tells all three apart, is the best
    assert pairs(readout)[0] == (1, 0)


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_fitting_equals_a_loop_over_heads_and_examples(data: st.DataObject) -> None:
    # given any examples of any classes, in layers of any heads
    sizes = data.draw(st.lists(st.tuples(st.integers(1, 4), st.integers(1, 5)), min_size=1, max_size=4))
    labels = data.draw(st.lists(st.sampled_from("abc"), min_size=2, max_size=12))
    if len(set(labels)) < 2:
        labels += ["d"]
    width = sum(heads * head_dim for heads, head_dim in sizes)
    number = st.integers(-20, 20)
    rows = data.draw(
        st.lists(st.lists(number, min_size=width, max_size=width), min_size=len(labels), max_size=len(labels))
    )
    vectors = head_vectors(rows, *sizes)
    total = len(vectors.layout.heads())

    # if all heads are fitted
    readout = fit(vectors, labels, heads=total)
    centroids = dict(zip(pairs(readout), readout.centroids, strict=True))

    # then every head has the means, and a score, that a plain loop gives
    classes = list(dict.fromkeys(labels))
    for place, (head, columns) in enumerate(vectors.layout.slices().items()):
        own = np.asarray(rows, dtype=np.float64)[:, columns]
        means = np.stack([own[[label == c for label in labels]].mean(axis=0) for c in classes])
        assert np.allclose(centroids[head], means, rtol=1e-6, atol=1e-6)
        surely = possibly = 0
        for vector, label in zip(own, labels, strict=True):
            near = [cosine(vector, mean) for mean in means]
            mine = near.pop(classes.index(label))
            surely += mine > max(near) + 1e-5
            possibly += mine > max(near) - 1e-5  # rounding may decide between all but equal ones
        assert surely <= readout.scores[place] <= possibly


def test_a_single_class_is_refused() -> None:
    with pytest.raises(FitError, match="two classes"):
        fit(random_vectors(2, (1, 2)), ["a", "a"], heads=1)


def test_no_examples_are_refused() -> None:
    with pytest.raises(FitError, match="two classes"):
        fit(random_vectors(0, (1, 2)), [], heads=1)


def test_a_class_without_examples_is_refused_by_name() -> None:
    with pytest.raises(FitError, match="no example of class 'c'"):
        fit(random_vectors(2, (1, 2)), ["a", "b"], heads=1, classes=["a", "b", "c"])


def test_a_label_that_is_no_class_is_refused_by_name() -> None:
    with pytest.raises(FitError, match="'c'"):
        fit(random_vectors(3, (1, 2)), ["a", "b", "c"], heads=1, classes=["a", "b"])


def test_a_class_that_is_named_twice_is_refused() -> None:
    with pytest.raises(FitError, match="twice"):
        fit(random_vectors(2, (1, 2)), ["a", "b"], heads=1, classes=["a", "b", "a"])


@pytest.mark.parametrize("heads", [0, -1, 5])
def test_more_heads_than_the_model_has_or_none_are_refused(heads: int) -> None:
    with pytest.raises(FitError, match="the model has 4"):
        fit(random_vectors(2, (4, 2)), ["a", "b"], heads=heads)


@pytest.mark.parametrize("broken", [np.nan, np.inf, -np.inf])
def test_vectors_with_nan_or_infinity_are_refused_with_their_row(broken: float) -> None:
    vectors = random_vectors(3, (1, 2))
    vectors.values[1, 1] = broken
    with pytest.raises(FitError, match="row 1"):
        fit(vectors, ["a", "b", "a"], heads=1)


@pytest.mark.parametrize("labels", [["a", "b"], ["a", "b", "a", "b"]])
def test_another_number_of_labels_than_vectors_is_refused(labels: list[str]) -> None:
    with pytest.raises(FitError, match="3 vectors"):
        fit(random_vectors(3, (1, 2)), labels, heads=1)


def test_an_unknown_mode_is_refused_with_the_known_ones() -> None:
    with pytest.raises(FitError, match="'best' is not a readout; use one of auto, reference, ridge, corpus"):
        fit(random_vectors(2, (1, 2)), ["a", "b"], heads=1, mode="best")


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        (Sample(3, "3", label="b"), r"label 1 is a Sample, not text; pass \[s\.label for s in samples\]"),
        (None, "label 1 is None: its sample has no label"),
        (3, "label 1 is 3, of type int, not text"),
        (b"b", "label 1 is b'b', of type bytes, not text"),
    ],
)
def test_a_label_that_is_not_text_is_refused_with_its_place(wrong: object, reason: str) -> None:
    with pytest.raises(FitError, match=reason):
        fit(random_vectors(3, (1, 2)), ["a", wrong, "b"], heads=1)  # type: ignore[list-item]


def test_labels_may_be_an_array_of_text() -> None:
    readout = fit(random_vectors(3, (1, 2)), np.array(["b", "a", "b"]), heads=1)  # type: ignore[arg-type]

    assert readout.classes == ("b", "a") and {type(name) for name in readout.classes} == {str}


def test_a_readout_is_shown_on_one_line() -> None:
    assert repr(fit(random_vectors(3, (2, 2), (2, 3)), ["a", "b", "a"], heads=3)) == (
        "Readout('reference', classes: 2, heads: 3 of 2 layers × 2 heads)"
    )
    assert repr(fit(random_vectors(3, (2, 2), (1, 3)), ["a", "b", "a"], heads=1)) == (
        "Readout('reference', classes: 2, heads: 1 of 2 layers, 3 heads)"
    )

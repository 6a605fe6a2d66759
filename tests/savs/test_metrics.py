"""Scores are sums, so that shards in any order give the same."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from savs.metrics import Tally, score, total, wilson

ROW = st.one_of(
    st.tuples(st.sampled_from("abc"), st.none() | st.sampled_from("abcd"), st.none()),
    st.tuples(st.none(), st.none() | st.sampled_from("abcd"), st.sampled_from(["missing_media", "bad_row"])),
    st.tuples(st.none(), st.none(), st.none()),
)
Row = tuple[str | None, str | None, str | None]


def tally_of(rows: list[Row]) -> Tally:
    tally = Tally()
    for prediction, label, error in rows:
        tally.add(prediction, label, error)
    return tally


@given(st.lists(ROW, max_size=30), st.integers(1, 5), st.randoms(use_true_random=False))
def test_tallies_of_shards_in_any_order_add_up_to_the_tally_of_all(
    rows: list[Row], shards: int, rng: random.Random
) -> None:
    parts = [tally_of(rows[start::shards]) for start in range(shards)]
    rng.shuffle(parts)
    assert total(parts) == tally_of(rows)
    assert score(total(parts)) == score(tally_of(rows))


def test_adding_leaves_both_tallies_as_they_were() -> None:
    one, other = tally_of([("a", "a", None)]), tally_of([("b", "a", None)])
    assert (one + other).predicted == {"a": 1, "b": 1}
    assert one == tally_of([("a", "a", None)])
    assert other == tally_of([("b", "a", None)])


def test_no_tallies_add_up_to_nothing() -> None:
    assert total([]) == Tally()


def test_scores_of_an_example_that_was_worked_out_by_hand() -> None:
    # given 3 of 4 cats and 1 of 2 dogs right, a label that is never predicted, a row without a
    # label, and two that failed
    rows: list[Row] = [
        ("cat", "cat", None),
        ("cat", "cat", None),
        ("cat", "cat", None),
        ("dog", "cat", None),
        ("dog", "dog", None),
        ("cat", "dog", None),
        ("cat", "fox", None),
        ("dog", None, None),
        (None, "cat", "missing_media"),
        (None, None, "missing_media"),
    ]
    tally = tally_of(rows)
    # then all predictions are counted, and the labelled ones scored
    assert tally.predicted == {"cat": 5, "dog": 3}
    assert tally.errors == {"missing_media": 2}
    scores = score(tally)
    assert scores is not None
    assert scores.rows == 7
    assert scores.accuracy == pytest.approx(4 / 7)
    assert scores.per_class == {"cat": 0.75, "dog": 0.5, "fox": 0.0}
    assert scores.confusion == {"cat": {"cat": 3, "dog": 1}, "dog": {"cat": 1, "dog": 1}, "fox": {"cat": 1}}


def test_without_labels_there_are_no_scores() -> None:
    assert score(Tally()) is None
    assert score(tally_of([("cat", None, None), (None, "cat", "bad_row")])) is None


def test_precision_recall_and_f1_are_those_of_the_confusion() -> None:
    # 3 of 4 cats right, one called dog; 1 of 2 dogs right, one called fox; nobody is a fox
    rows: list[Row] = [("cat", "cat", None)] * 3 + [("dog", "cat", None)]
    rows += [("dog", "dog", None), ("fox", "dog", None)]

    scores = score(tally_of(rows))

    assert scores is not None
    cat, dog, fox = (scores.classes[name] for name in ("cat", "dog", "fox"))
    assert (cat.rows, cat.recall, cat.precision, cat.f1) == (4, 0.75, 1.0, pytest.approx(6 / 7))
    assert (dog.rows, dog.recall, dog.precision, dog.f1) == (2, 0.5, 0.5, 0.5)
    assert (fox.rows, fox.recall, fox.precision, fox.f1) == (0, None, 0.0, 0.0)
    assert scores.balanced_accuracy == (0.75 + 0.5) / 2
    assert scores.macro_f1 == pytest.approx((6 / 7 + 0.5 + 0) / 3)


@pytest.mark.parametrize(
    ("hits", "rows", "low", "high"),
    # values of the formula worked out by hand, to four places
    [
        (8, 10, 0.4902, 0.9433),
        (0, 10, 0.0, 0.2775),
        (10, 10, 0.7225, 1.0),
        (1, 1, 0.2065, 1.0),
        (255, 300, 0.8052, 0.886),
    ],
)
def test_an_interval_is_wilsons(hits: int, rows: int, low: float, high: float) -> None:
    assert wilson(hits, rows) == pytest.approx((low, high), abs=1e-4)


@given(st.integers(1, 10**6).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_an_interval_holds_its_rate_and_stays_a_rate(rate: tuple[int, int]) -> None:
    low, high = wilson(*rate)
    assert 0 <= low <= rate[0] / rate[1] <= high <= 1 and low < high

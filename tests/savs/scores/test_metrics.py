"""Scores are sums, so that shards in any order give the same."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from savs.errors import SettingsError
from savs.scores import clusters
from savs.scores.intervals import wilson
from savs.scores.metrics import Tally, score, total
from savs.scores.scored import Scored

ROW = st.one_of(
    st.tuples(st.sampled_from("abc"), st.none() | st.sampled_from("abcd"), st.none()),
    st.tuples(st.none(), st.none() | st.sampled_from("abcd"), st.sampled_from(["missing_media", "bad_row"])),
    st.tuples(st.none(), st.none(), st.none()),
)
Row = tuple[str | None, str | None, str | None]


def tally_of(rows: list[Row]) -> Tally:
    tally = Tally()
    for index, (prediction, label, error) in enumerate(rows):
        tally.add(Scored(index, prediction, label, error))
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


def test_rows_that_show_the_same_picture_widen_the_interval() -> None:
    # given ten pictures with ten questions each, of which all or none are answered right
    def rows(shared: bool) -> Tally:
        tally = Tally()
        for index in range(100):
            right = index // 10 % 2 == 0
            media = (f"{index // 10 if shared else index}.jpg",)
            tally.add(Scored(index, "yes" if right else "no", "yes", media=media))
        return tally

    apart, shared = score(rows(False)), score(rows(True))

    assert apart is not None and shared is not None
    assert apart.accuracy == shared.accuracy == 0.5
    assert apart.accuracy_interval == wilson(50, 100)
    low, high = shared.accuracy_interval
    assert high - low > 2.5 * (apart.accuracy_interval[1] - apart.accuracy_interval[0])
    # and that of a class alike
    assert shared.classes["yes"].recall_interval == shared.accuracy_interval


def test_beyond_a_limit_clusters_are_folded_and_intervals_stay_about_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # given 3000 pictures with two questions each, of which both or none are answered right
    def interval(entries: int) -> tuple[float, float]:
        tally = Tally()
        for index in range(6000):
            right = index // 2 % 4 == 0
            tally.add(Scored(index, "yes" if right else "no", "yes", media=(f"{index // 2}.jpg",)))
        assert tally.rows.entries <= entries
        scores = score(tally)
        assert scores is not None
        return scores.accuracy_interval

    exact = interval(3000)
    monkeypatch.setattr(clusters, "MAX_EXACT", 500)
    monkeypatch.setattr(clusters, "BUCKETS", 400)

    assert interval(2 * 400) == pytest.approx(exact, abs=0.003)
    assert exact == pytest.approx(wilson(750, 3000), abs=0.001)


def test_a_format_that_is_none_is_an_error() -> None:
    with pytest.raises(SettingsError, match="no format 'coco'"):
        Tally().add(Scored(0, "cat", "cat", format="coco"))

"""Average precision, from a histogram of scores."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from savs.scores.ranking import Ranking, average_precisions, shares
from tests.savs.scores import slow

Row = tuple[str, dict[str, float]]


def ranking_of(rows: list[Row]) -> Ranking:
    ranking = Ranking()
    for label, scores in rows:
        ranking.add(label, scores)
    return ranking


def test_average_precision_is_that_of_the_definition() -> None:
    # scikit-learn's own example: 0.35 stands behind a wrong 0.4
    rows: list[Row] = [
        ("no", {"yes": 0.1}),
        ("no", {"yes": 0.4}),
        ("yes", {"yes": 0.35}),
        ("yes", {"yes": 0.8}),
    ]

    assert average_precisions(ranking_of(rows))["yes"] == pytest.approx(0.5 * 1 + 0.5 * 2 / 3)


def test_rows_of_equal_score_stand_or_fall_together() -> None:
    # given a right and two wrong rows of the same score: whichever came first would be arbitrary
    rows: list[Row] = [("yes", {"yes": 0.5}), ("no", {"yes": 0.5}), ("no", {"yes": 0.5})]

    assert average_precisions(ranking_of(rows))["yes"] == pytest.approx(1 / 3)


def test_a_label_that_nobody_votes_for_has_its_share_of_the_rows() -> None:
    rows: list[Row] = [("fox", {"cat": 1.0}), ("cat", {"cat": 1.0}), ("cat", {"cat": 1.0})]

    found = average_precisions(ranking_of(rows))

    assert found == {"cat": pytest.approx(2 / 3), "fox": pytest.approx(1 / 3)}


def test_a_class_that_is_no_label_has_none() -> None:
    assert average_precisions(ranking_of([("cat", {"dog": 1.0})])).keys() == {"cat"}
    assert average_precisions(Ranking()) == {}


@given(
    st.lists(
        st.tuples(
            st.sampled_from("abc"),
            st.dictionaries(st.sampled_from("abcd"), st.integers(0, 1000).map(lambda step: step / 1000)),
        ),
        min_size=1,
        max_size=25,
    )
)
def test_it_is_what_one_threshold_after_another_gives(rows: list[Row]) -> None:
    found = average_precisions(ranking_of(rows))

    assert found == {
        name: pytest.approx(
            slow.average_precision([(scores.get(name, 0.0), label == name) for label, scores in rows])
        )
        for name in {label for label, _ in rows}
    }


def test_scores_are_kept_to_a_thousandth_and_votes_of_a_thousand_heads_exactly() -> None:
    # given a class that is ahead by one of 784 heads' votes where it is right
    rows: list[Row] = [("yes", shares({"yes": 393, "no": 391})), ("no", shares({"yes": 392, "no": 392}))]
    assert average_precisions(ranking_of(rows))["yes"] == 1.0
    # and one that is ahead by less than can be kept
    rows = [("yes", {"yes": 0.50004}), ("no", {"yes": 0.50003})]
    assert average_precisions(ranking_of(rows))["yes"] == 0.5


def test_shares_of_no_votes_are_none() -> None:
    assert shares({"cat": 15, "dog": 5, "fox": 0}) == {"cat": 0.75, "dog": 0.25, "fox": 0.0}
    assert shares({}) == {} and shares({"cat": 0}) == {}

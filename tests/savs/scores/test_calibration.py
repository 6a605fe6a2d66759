"""Scores of confidence: calibration error by bins of equal mass, and error by coverage."""

from collections.abc import Iterable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from savs.scores.calibration import BINS, Calibration, Confidences, calibrate
from savs.scores.metrics import Tally, score
from savs.scores.scored import Scored

Row = tuple[float, bool]
# Few confidences and many rows, so that some are equal and some bins have several.
CONFIDENCE = st.one_of(st.integers(0, 1000), st.integers(0, 40).map(lambda step: 25 * step))
ROW = st.tuples(CONFIDENCE.map(lambda step: step / 1000), st.booleans())
ROWS = st.lists(ROW, min_size=1, max_size=20) | st.lists(ROW, min_size=40, max_size=60)


def confidences_of(rows: Iterable[Row]) -> Confidences:
    found = Confidences()
    for confidence, right in rows:
        found.add(confidence, right)
    return found


def scores_of(rows: Iterable[Row]) -> Calibration:
    found = calibrate(confidences_of(rows))
    assert found is not None
    return found


def test_without_rows_there_are_no_scores() -> None:
    assert calibrate(Confidences()) is None


def test_the_error_of_an_example_that_was_worked_out_by_hand() -> None:
    # given 4 rows of confidence 0.5, of which 1 is right, and 6 of 0.9, of which 5 are
    rows = [(0.5, n < 1) for n in range(4)] + [(0.9, n < 5) for n in range(6)]

    found = scores_of(rows)

    assert found.ece == pytest.approx(0.4 * abs(0.25 - 0.5) + 0.6 * abs(5 / 6 - 0.9))
    assert [(one.rows, one.confidence, one.accuracy) for one in found.reliability] == [
        (4, 0.5, 0.25),
        (6, 0.9, 5 / 6),
    ]
    # and the 6 are kept together up to a coverage of 0.6, then all rows
    assert [(one.coverage, one.rows, one.confidence) for one in found.risk_coverage] == [
        (part / 10, *((6, 0.9) if part <= 6 else (10, 0.5))) for part in range(1, 11)
    ]
    assert {one.error for one in found.risk_coverage} == {1 / 6, 4 / 10}
    assert found.aurc == pytest.approx(0.6 * 1 / 6 + 0.4 * 4 / 10)


def test_bins_have_equal_mass_where_confidences_differ() -> None:
    rng = np.random.default_rng(3)
    steps, right = rng.choice(1001, 20 * BINS, replace=False), rng.random(20 * BINS) < 0.7

    found = scores_of(zip((steps / 1000).tolist(), right.tolist(), strict=True))

    order = np.argsort(steps)
    confidence, hits = steps[order].reshape(BINS, 20) / 1000, right[order].reshape(BINS, 20)
    assert found.ece == pytest.approx(np.abs(hits.mean(1) - confidence.mean(1)).mean())
    assert [one.rows for one in found.reliability] == [20] * BINS
    assert [one.confidence for one in found.reliability] == pytest.approx(confidence.mean(1))
    assert [one.accuracy for one in found.reliability] == pytest.approx(hits.mean(1))


def test_rows_of_equal_confidence_are_in_the_bin_of_their_middle_rank() -> None:
    # given bins of two ranks each, and three equal rows with the ranks 1, 2 and 3 of 0 to 29
    rest = [(0.5 + n / 100, True) for n in range(26)]

    found = scores_of([(0.1, True), (0.2, True), (0.2, False), (0.2, True), *rest])

    assert [one.rows for one in found.reliability] == [1, 3] + [2] * 13


@given(ROWS)
def test_the_error_is_what_numpy_computes_from_all_rows(rows: list[Row]) -> None:
    confidence, right = np.array([c for c, _ in rows]), np.array([hit for _, hit in rows])
    # Mean rank of equal confidences, 0 to 1; 2 × rank is whole, so that the floor is exact.
    below = (confidence[None] < confidence[:, None]).sum(1)
    equal = (confidence[None] == confidence[:, None]).sum(1)
    places = BINS * (2 * below + equal) // (2 * len(rows))
    ece = sum(
        abs(right[places == place].mean() - confidence[places == place].mean()) * (places == place).mean()
        for place in np.unique(places)
    )

    found = scores_of(rows)

    assert found.ece == pytest.approx(ece)
    assert [one.rows for one in found.reliability] == np.unique(places, return_counts=True)[1].tolist()


@given(ROWS)
def test_a_point_of_the_curve_keeps_the_fewest_whole_groups_that_reach_its_coverage(rows: list[Row]) -> None:
    for part, point in enumerate(scores_of(rows).risk_coverage, 1):
        kept = [right for confidence, right in rows if confidence >= point.confidence]
        more = [right for confidence, right in rows if confidence > point.confidence]
        assert 10 * len(kept) >= part * len(rows) > 10 * len(more)
        assert (point.rows, point.error) == (len(kept), pytest.approx(1 - np.mean(kept)))


@given(ROWS)
def test_the_area_is_the_mean_error_among_rows_that_are_at_least_as_confident(rows: list[Row]) -> None:
    errors = [1 - np.mean([right for other, right in rows if other >= confidence]) for confidence, _ in rows]
    assert scores_of(rows).aurc == pytest.approx(np.mean(errors))


@given(ROWS, ROWS)
def test_counts_of_shards_add_up_to_those_of_all_rows(first: list[Row], second: list[Row]) -> None:
    sums = confidences_of(second)
    sums.update(confidences_of(first))

    assert sums == confidences_of(first + second)
    assert calibrate(sums) == calibrate(confidences_of(second + first))


def test_a_row_that_abstained_counts_by_its_likeliest_class_and_not_for_the_accuracy() -> None:
    tally = Tally()
    tally.add(Scored(0, "cat", "cat", confidence=0.9))
    tally.add(Scored(1, None, "dog", confidence=0.4, likeliest="cat"))
    tally.add(Scored(2, None, "dog", confidence=0.6, likeliest="dog"))

    scores = score(tally)

    assert scores is not None and scores.calibration is not None
    assert (scores.rows, scores.accuracy) == (1, 1.0)
    assert [one.accuracy for one in scores.calibration.reliability] == [0.0, 1.0, 1.0]
    assert scores.calibration.risk_coverage[-1].error == pytest.approx(1 / 3)


def test_rows_without_a_label_or_a_confidence_and_rows_that_failed_do_not_count() -> None:
    tally = Tally()
    tally.add(Scored(0, "cat", None, confidence=0.9))
    tally.add(Scored(1, "cat", "cat"))
    tally.add(Scored(2, None, "cat", error="missing_media", confidence=0.9, likeliest="cat"))
    tally.add(Scored(3, None, "cat", confidence=0.9))

    assert tally.confidences == Confidences()

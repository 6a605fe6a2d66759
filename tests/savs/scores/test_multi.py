"""Scores of rows with several labels, with scikit-learn as the oracle."""

import math

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, f1_score, precision_recall_fscore_support

from savs.scores.metrics import Tally, total
from savs.scores.multi import MultiCounts, score_multi
from savs.scores.scored import Scored

LABELS = ("cat", "indoor", "night", "red")


def drawn(n: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Labels and predictions bool [n, 4], and scores [n, 4] of three digits."""
    rng = np.random.default_rng(seed)
    truth = rng.random((n, 4)) < (0.1, 0.3, 0.5, 0.8)
    scores = np.clip(np.round(rng.random((n, 4)) * 0.7 + 0.3 * truth, 3), 0, 1)
    return truth, scores >= 0.5, scores


def named(row: np.ndarray) -> tuple[str, ...]:
    return tuple(label for label, has in zip(LABELS, row, strict=True) if has)


def rows_of(n: int, seed: int = 0, media: int | None = None) -> list[Scored]:
    return [
        Scored(
            index,
            predictions=named(said),
            labels=named(own),
            scores=dict(zip(LABELS, scores.tolist(), strict=True)),
            media=() if media is None else (f"{index // media}.png",),
        )
        for index, (own, said, scores) in enumerate(zip(*drawn(n, seed), strict=True))
    ]


def tallied(rows: list[Scored]) -> Tally:
    tally = Tally()
    for row in rows:
        tally.add(row)
    return tally


def test_scores_equal_those_of_scikit_learn() -> None:
    truth, said, scores = drawn(200)

    found = score_multi(tallied(rows_of(200)).multi)

    assert found is not None and found.rows == 200
    assert found.exact_match == pytest.approx((truth == said).all(1).mean())
    assert found.micro_f1 == pytest.approx(f1_score(truth, said, average="micro"))
    assert found.macro_f1 == pytest.approx(f1_score(truth, said, average="macro"))
    precision, recall, f1, support = precision_recall_fscore_support(truth, said)
    for number, label in enumerate(LABELS):
        one = found.labels[label]
        assert (one.precision, one.recall, one.f1) == pytest.approx(
            (precision[number], recall[number], f1[number])
        )
        assert one.support == support[number] == one.true_positives + one.false_negatives
        assert one.true_positives + one.false_positives == said[:, number].sum()
        want = average_precision_score(truth[:, number], scores[:, number])
        assert one.average_precision == pytest.approx(want)
    precisions = [one.average_precision for one in found.labels.values() if one.average_precision]
    assert found.mean_average_precision == pytest.approx(np.mean(precisions))


def test_parts_add_up_to_the_whole_in_any_order() -> None:
    rows = rows_of(120, media=3)

    parts = [tallied(rows[i::7]) for i in range(7)]

    assert score_multi(total(parts).multi) == score_multi(tallied(rows).multi)
    assert score_multi(total(parts[::-1]).multi) == score_multi(tallied(rows).multi)


def test_the_interval_is_wider_if_rows_show_the_same_picture() -> None:
    def width(same: list[Scored]) -> float:
        found = score_multi(tallied(same).multi)
        assert found is not None
        low, high = found.exact_match_interval
        assert low < found.exact_match < high
        return high - low

    once = rows_of(60)
    alike = [Scored(i, predictions=one.predictions, labels=one.labels, media=(f"{i % 60}.png",))
             for i, one in enumerate(once * 4)]  # fmt: skip

    assert width(alike) > 1.5 * width(rows_of(240, media=1))


def test_a_row_without_labels_is_right_if_none_is_predicted() -> None:
    counts = MultiCounts()
    counts.add((), (), {"cat": 0.1})
    counts.add((), ("cat",), {"cat": 0.9})

    found = score_multi(counts)

    assert found is not None and (found.rows, found.exact_match) == (2, 0.5)
    assert found.labels["cat"].false_positives == 1 and found.labels["cat"].recall is None
    assert found.mean_average_precision is None and found.macro_f1 == 0


def test_a_label_that_no_readout_knows_counts_as_missed() -> None:
    counts = MultiCounts()
    counts.add(("cat", "new"), ("cat",), {"cat": 0.9})
    counts.add((), (), {"cat": 0.2})
    counts.add((), (), {"cat": 0.1})

    found = score_multi(counts)

    assert found is not None and found.exact_match == pytest.approx(2 / 3)
    assert found.labels["new"].false_negatives == 1
    assert found.labels["new"].average_precision == pytest.approx(
        1 / 3
    )  # its rows are no higher than the others
    assert found.micro_f1 == pytest.approx(2 / 3)


def test_rows_of_unknown_labels_and_failed_rows_are_not_scored() -> None:
    tally = tallied([Scored(0, predictions=("cat",)), Scored(1, predictions=(), error="bad_row")])

    assert score_multi(tally.multi) is None
    assert dict(tally.predicted) == {"cat": 1} and dict(tally.errors) == {"bad_row": 1}


def test_memory_does_not_grow_with_the_rows() -> None:
    tally = tallied(rows_of(4000))

    assert len(tally.multi.ranking.scored) <= 2 * 1001 * len(LABELS)
    assert not tally.multi.rows.shared and math.isclose(tally.multi.total, 4000)

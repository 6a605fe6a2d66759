"""Scores of answers and labels: what counts, and what is refused."""

import pytest

import savs
from savs.readout.classify import Answer
from savs.scores.intervals import wilson
from savs.scores.metrics import Tally
from savs.scores.metrics import score as score_tally
from savs.scores.ranking import shares
from savs.scores.scored import Scored

ANSWERS = [
    Answer("cat", {"cat": 3, "dog": 1}, 0.75),
    Answer("dog", {"dog": 4, "cat": 0}, 1.0),
    Answer("cat", {"cat": 2, "dog": 2}, 0.5),
    Answer("dog", {"dog": 3, "cat": 1}, 0.75),
]
LABELS = ["cat", "dog", "dog", None]


def test_answers_are_scored_as_their_rows_are_in_a_tally() -> None:
    tally = Tally()
    for index, (label, answer) in enumerate(zip(LABELS, ANSWERS, strict=True)):
        tally.add(
            Scored(
                index,
                answer.prediction,
                label,
                scores=shares(answer.votes),
                confidence=answer.confidence,
            )
        )

    assert savs.score(LABELS, ANSWERS) == score_tally(tally)


def test_the_confidence_of_answers_is_scored_and_class_names_have_none() -> None:
    found = savs.score(LABELS, ANSWERS).calibration

    # one row of each confidence: 0.5 and wrong, 0.75 and right, 1.0 and right
    assert found is not None
    assert (found.rows, found.ece) == (3, pytest.approx((0.5 + 0.25 + 0) / 3))
    assert [point.error for point in found.risk_coverage] == [0] * 6 + [pytest.approx(1 / 3)] * 4
    assert savs.score(LABELS, [answer.prediction for answer in ANSWERS]).calibration is None


def test_an_item_without_a_label_does_not_count() -> None:
    scores = savs.score(LABELS, ANSWERS)

    assert (scores.rows, scores.accuracy, scores.accuracy_interval) == (3, 2 / 3, wilson(2, 3))
    assert scores.confusion == {"cat": {"cat": 1}, "dog": {"cat": 1, "dog": 1}}


def test_answers_may_be_class_names_which_rank_nothing() -> None:
    names, votes = savs.score(LABELS, [a.prediction for a in ANSWERS]), savs.score(LABELS, ANSWERS)

    assert (names.accuracy, names.macro_f1) == (votes.accuracy, votes.macro_f1)
    assert names.mean_average_precision is None and votes.mean_average_precision is not None


def test_as_many_labels_as_answers_are_needed() -> None:
    with pytest.raises(savs.SettingsError, match="3 labels and 4 answers"):
        savs.score(LABELS[:3], ANSWERS)


@pytest.mark.parametrize(
    ("labels", "answers", "reason"),
    [
        (["cat", savs.Sample(1, "1", label="dog")], ["cat", "dog"], "label 1 is of type Sample"),
        ([0, 1], ["cat", "dog"], "label 0 is of type int"),
        (["cat", "dog"], ["cat", None], "answer 1 is of type NoneType"),
        ([None, None], ["cat", "dog"], "no label is known"),
        ([], [], "no label is known"),
    ],
)
def test_what_cannot_be_scored_is_refused_with_the_reason(labels: list, answers: list, reason: str) -> None:
    with pytest.raises(savs.SettingsError, match=reason):
        savs.score(labels, answers)

"""Scores of answers whose labels are known."""

from collections.abc import Sequence
from typing import overload

from savs.data.labels import Label
from savs.errors import SettingsError
from savs.readout.answer import Answer, MultiAnswer
from savs.scores import metrics
from savs.scores.metrics import Scores, Tally
from savs.scores.multi import MultiCounts, MultiScores, score_multi
from savs.scores.ranking import shares
from savs.scores.scored import Scored


@overload
def score(labels: Sequence[Label | None], answers: Sequence[MultiAnswer]) -> MultiScores: ...


@overload
def score(labels: Sequence[str | None], answers: Sequence[Answer | str]) -> Scores: ...


def score(
    labels: Sequence[Label | None] | Sequence[str | None],
    answers: Sequence[MultiAnswer] | Sequence[Answer | str],
) -> Scores | MultiScores:
    """Return the scores of `answers`, from `classify` or as class names, against the labels of the same
    items. Rows whose label is None do not count. A label may be a list if the answers have several labels.

    Each row counts as independent of the others. For rows that share media or form groups, add `Scored`
    rows to a `Tally` (`savs.scores.metrics`).

    Raises SettingsError if there are not as many answers as labels, if one of them is something else, or
    if no label is known.
    """
    if len(labels) != len(answers):
        raise SettingsError(
            f"{len(labels)} labels and {len(answers)} answers; each answer needs one label, or None"
        )
    if any(isinstance(answer, MultiAnswer) for answer in answers):
        return _score_multi(labels, answers)
    tally = Tally()
    for index, (label, answer) in enumerate(zip(labels, answers, strict=True)):
        if not isinstance(label, str | None):
            raise SettingsError(f"label {index} is of type {type(label).__name__}; pass text, or None")
        if not isinstance(answer, Answer | str):
            raise SettingsError(
                f"answer {index} is of type {type(answer).__name__}; pass an Answer, or a class name"
            )
        label = None if label is None else str(label)  # not NumPy's text
        if isinstance(answer, Answer):
            tally.add(
                Scored(
                    index,
                    answer.prediction,
                    label,
                    scores=answer.scores or shares(answer.votes),
                    confidence=answer.confidence,
                    probabilistic=bool(answer.scores),
                )
            )
        else:
            tally.add(Scored(index, str(answer), label))
    found = metrics.score(tally)
    if found is None:
        raise SettingsError("no label is known, so there is nothing to score")
    return found


def _score_multi(labels: Sequence[object], answers: Sequence[object]) -> MultiScores:
    counts = MultiCounts()
    for index, (label, answer) in enumerate(zip(labels, answers, strict=True)):
        if not isinstance(answer, MultiAnswer):
            raise SettingsError(
                f"answer {index} is of type {type(answer).__name__} and others have several labels; score "
                "them apart"
            )
        known = None if label is None else [label] if isinstance(label, str) else label
        if known is None:
            continue
        if not isinstance(known, list | tuple) or not all(isinstance(one, str) for one in known):
            raise SettingsError(f"label {index} is of type {type(label).__name__}; pass texts, or None")
        counts.add(known, answer.predictions, answer.scores)
    found = score_multi(counts)
    if found is None:
        raise SettingsError("no label is known, so there is nothing to score")
    return found

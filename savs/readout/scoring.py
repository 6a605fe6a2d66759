"""Scores of answers whose labels are known."""

from collections.abc import Iterable, Mapping, Sequence
from math import isnan
from typing import Any, overload

from savs.data.labels import Label
from savs.errors import WrongType, WrongValue
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
    items. Rows whose label is None or NaN do not count. A label may be a list if the answers have several
    labels.

    Each row counts as independent of the others. For rows that share media or form groups, add `Scored`
    rows to a `Tally` (`savs.scores.metrics`).

    Raises SettingsError, which is also a TypeError or a ValueError, if there are not as many answers as
    labels, if one of them is something else, or if no label is known.
    """
    labels, answers = _listed(labels, "labels"), _listed(answers, "answers")
    if any(isinstance(label, Answer | MultiAnswer) for label in labels):
        raise WrongType("labels and answers are swapped; pass score(labels, answers)")
    if len(labels) != len(answers):
        raise WrongValue(
            f"{len(labels)} labels and {len(answers)} answers; each answer needs one label, or None (the "
            "samples of an Extraction leave out items with an error)"
        )
    if any(isinstance(answer, MultiAnswer) for answer in answers):
        return _score_multi(labels, answers)
    tally = Tally()
    for index, (label, answer) in enumerate(zip(labels, answers, strict=True)):
        if not isinstance(label, str | None):
            raise WrongType(f"label {index} is of type {type(label).__name__}; pass text, or None")
        if not isinstance(answer, Answer | str):
            raise WrongType(
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
        raise WrongValue("no label is known, so there is nothing to score")
    return found


def _listed(values: Any, name: str) -> list[Any]:
    """Return labels or answers as a list; a label that a table lacks, which is NaN, as None."""
    if isinstance(values, str | Mapping) or not isinstance(values, Iterable) or hasattr(values, "columns"):
        raise WrongType(f"{name} are of type {type(values).__name__}; pass a list with one of each item")
    return [None if isinstance(one, float) and isnan(one) else one for one in values]


def _score_multi(labels: Sequence[object], answers: Sequence[object]) -> MultiScores:
    counts = MultiCounts()
    for index, (label, answer) in enumerate(zip(labels, answers, strict=True)):
        if not isinstance(answer, MultiAnswer):
            raise WrongType(
                f"answer {index} is of type {type(answer).__name__} and others have several labels; score "
                "them apart"
            )
        known = None if label is None else [label] if isinstance(label, str) else label
        if known is None:
            continue
        if not isinstance(known, list | tuple) or not all(isinstance(one, str) for one in known):
            raise WrongType(f"label {index} is of type {type(label).__name__}; pass texts, or None")
        counts.add(known, answer.predictions, answer.scores)
    found = score_multi(counts)
    if found is None:
        raise WrongValue("no label is known, so there is nothing to score")
    return found

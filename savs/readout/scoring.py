"""Scores of answers whose labels are known."""

from collections.abc import Sequence

from savs.errors import SettingsError
from savs.readout.answer import Answer
from savs.scores import metrics
from savs.scores.metrics import Scores, Tally
from savs.scores.ranking import shares
from savs.scores.scored import Scored


def score(labels: Sequence[str | None], answers: Sequence[Answer | str]) -> Scores:
    """Return the scores of `answers`, from `classify` or as class names, against the labels of the same
    items. Rows whose label is None do not count.

    Each row counts as independent of the others. For rows that share media or form groups, add `Scored`
    rows to a `Tally` (`savs.scores.metrics`).

    Raises SettingsError if there are not as many answers as labels, if one of them is something else, or
    if no label is known.
    """
    if len(labels) != len(answers):
        raise SettingsError(
            f"{len(labels)} labels and {len(answers)} answers; each answer needs one label, or None"
        )
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

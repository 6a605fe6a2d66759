"""The result of a readout on one item."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Answer:
    """The result of a readout on one item.

    prediction  the class with the most votes, or the most probable one
    votes       of the vote: votes for each class, all classes, highest count first
    confidence  the winner's share of the votes, or its probability; 0 to 1
    scores      of other readouts: the probability of each class, all classes, highest first
    """

    prediction: str
    votes: dict[str, int]
    confidence: float
    scores: dict[str, float] = field(default_factory=dict)

    @property
    def margin(self) -> float | None:
        """The highest probability minus the second; None without probabilities."""
        first, second = [*self.scores.values(), 0.0, 0.0][:2]
        return first - second if self.scores else None

    @property
    def entropy(self) -> float | None:
        """The entropy of the probabilities in nats, 0 to log(classes); None without probabilities."""
        return sum(-p * math.log(p) for p in self.scores.values() if p > 0) if self.scores else None


@dataclass(frozen=True)
class MultiAnswer:
    """The result of a readout with several labels per item.

    predictions  the labels whose probability reaches their threshold, the most probable first; may be empty
    scores       the probability of each label, all labels, highest first; they do not add up to 1
    """

    predictions: tuple[str, ...]
    scores: dict[str, float]


def answer_of(classes: Sequence[str], probabilities: Sequence[float]) -> Answer:
    """Return the answer of probabilities in the order of the classes; of equal ones the first wins."""
    order = sorted(range(len(classes)), key=lambda number: -probabilities[number])
    scores = {classes[number]: probabilities[number] for number in order}
    return Answer(classes[order[0]], {}, probabilities[order[0]], scores)

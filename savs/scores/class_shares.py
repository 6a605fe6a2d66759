"""The share of each class in a corpus, from the probabilities of its rows. Labels are not needed.

The mean probability of a class estimates its share better than the share of rows predicted as it: a row with
probability 0.6 for "cat" counts as 0.6 cats and not as one. That holds as far as the probabilities are
calibrated; a model that is biased towards a class is biased here, too.
"""

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from savs.scores.groups import MILLION
from savs.scores.intervals import Z95, Rate

MAX_CLASSES = 1000  # more are not counted, so that a commit stays small


@dataclass
class Probabilities:
    """Sums over rows that have probabilities, in millionths: each row is rounded, so that sums do not depend
    on the order of rows.

    rows      with or without a label
    sums      class → Σp
    spreads   class → Σp(1 − p), the variance of the number of rows of this class
    too_many  whether there are more than MAX_CLASSES classes; then there are no sums
    """

    rows: int = 0
    sums: Counter[str] = field(default_factory=Counter)
    spreads: Counter[str] = field(default_factory=Counter)
    too_many: bool = False

    def add(self, probabilities: Mapping[str, float]) -> None:
        """Count a row. A class that is left out has probability 0."""
        self.rows += 1
        for name, p in probabilities.items():
            if part := round(MILLION * p):
                self.sums[name] += part
                self.spreads[name] += round(MILLION * p * (1 - p))
        self._limit()

    def update(self, other: "Probabilities") -> None:
        """Add `other` to this one."""
        self.rows += other.rows
        self.sums.update(other.sums)
        self.spreads.update(other.spreads)
        self.too_many |= other.too_many
        self._limit()

    def _limit(self) -> None:
        # Classes are never taken away one by one: which of them are left would depend on the order.
        if self.too_many or len(self.sums) > MAX_CLASSES:
            self.too_many = True
            self.sums.clear()
            self.spreads.clear()


def class_shares(probabilities: Probabilities) -> dict[str, Rate]:
    """Per class, its mean probability over all rows that have probabilities, with an interval of 95 %. Empty
    if there are no such rows or too many classes.

    The interval is share ± 1.96 · √Σp(1 − p) / n, cut at 0 and 1. It covers only that single labels are
    uncertain: the number of rows of a class has this variance if rows are independent and their
    probabilities are right. It does not cover a bias of the model, errors that rows share, or the choice of
    the corpus.
    """
    rows = probabilities.rows
    found = {}
    for name, total in sorted(probabilities.sums.items()):
        share = total / (MILLION * rows)
        half = Z95 * math.sqrt(probabilities.spreads[name] / (MILLION * rows * rows))
        found[name] = Rate(rows, share, (max(0.0, share - half), min(1.0, share + half)))
    return found

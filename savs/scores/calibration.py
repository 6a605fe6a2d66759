"""How far a row's confidence can be trusted: calibration error, reliability, and error by coverage.

Confidence is kept to a thousandth, so that the counts of any number of rows stay small.
"""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from typing import NamedTuple

from savs.scores.ranking import STEPS

BINS = 15  # of the reliability table, as in Guo et al. 2017 (arXiv 1706.04599)
COVERAGES = 10  # points of the risk-coverage curve: 0.1, 0.2, … 1.0


@dataclass
class Confidences:
    """Counts over labelled rows that have a confidence, those that abstained included.

    counts  rows per (confidence in thousandths, whether their likeliest class is the label)
    """

    counts: Counter[tuple[int, bool]] = field(default_factory=Counter)

    def add(self, confidence: float, right: bool) -> None:
        """Count a row; `confidence` is 0 to 1."""
        self.counts[round(STEPS * confidence), right] += 1

    def update(self, other: "Confidences") -> None:
        """Add `other` to this one."""
        self.counts.update(other.counts)


@dataclass(frozen=True)
class ReliabilityBin:
    """Rows of similar confidence: their mean confidence, and the share whose likeliest class is right."""

    rows: int
    confidence: float
    accuracy: float


@dataclass(frozen=True)
class CoveragePoint:
    """The rows that are kept if about `coverage` of all rows are to be kept, the most confident first.

    rows        at least `coverage` of all; more if rows of equal confidence would have to be divided
    confidence  the lowest among them: keeping the rows with at least this confidence gives this point
    error       share of them whose likeliest class is wrong
    """

    coverage: float
    rows: int
    confidence: float
    error: float


@dataclass(frozen=True)
class Calibration:
    """Scores of the confidence of `rows` labelled rows.

    ece            expected calibration error: the mean over rows of |accuracy − confidence| of their bin
    reliability    the bins, lowest confidence first; bins without rows are left out
    risk_coverage  error at each of COVERAGES, the risk-coverage curve (El-Yaniv and Wiener 2010)
    aurc           area under that curve: the mean over rows of the error among all rows that are at least
                   as confident (Geifman et al. 2019, arXiv 1805.08206)
    """

    rows: int
    ece: float
    reliability: tuple[ReliabilityBin, ...]
    risk_coverage: tuple[CoveragePoint, ...]
    aurc: float


class _Level(NamedTuple):
    """Rows of equal confidence, or of several confidences added up; `thousandths` are summed over rows."""

    rows: int
    right: int
    thousandths: int

    def plus(self, other: "_Level") -> "_Level":
        return _Level(self.rows + other.rows, self.right + other.right, self.thousandths + other.thousandths)


def calibrate(confidences: Confidences) -> Calibration | None:
    """The scores of confidence; None if no row has a label and a confidence.

    Expected calibration error as Naeini, Cooper and Hauskrecht 2015 ("Obtaining well calibrated probabilities
    using Bayesian binning") define it, with bins of equal mass as in Nguyen and O'Connor 2015 (arXiv
    1508.05154): of n rows in ascending order of confidence, bin b of 15 has those from b·n/15 to
    (b + 1)·n/15. Rows of equal confidence are in one bin, that of the middle of their ranks.
    """
    steps = sorted({step for step, _ in confidences.counts})
    levels = []
    for step in steps:
        right = confidences.counts[step, True]
        rows = right + confidences.counts[step, False]
        if rows:
            levels.append(_Level(rows, right, step * rows))
    if not levels:
        return None
    total = sum(level.rows for level in levels)
    bins = _bins(levels, total)
    return Calibration(
        rows=total,
        # One division of integers, so that it does not depend on the order of the bins.
        ece=sum(abs(STEPS * one.right - one.thousandths) for one in bins) / (STEPS * total),
        reliability=tuple(
            ReliabilityBin(one.rows, one.thousandths / (STEPS * one.rows), one.right / one.rows)
            for one in bins
        ),
        risk_coverage=tuple(_curve(levels, total)),
        aurc=_area(levels, total),
    )


def _bins(levels: Sequence[_Level], total: int) -> list[_Level]:
    bins: dict[int, _Level] = {}
    before = 0
    for level in levels:
        place = BINS * (2 * before + level.rows) // (2 * total)
        bins[place] = bins.get(place, _Level(0, 0, 0)).plus(level)
        before += level.rows
    return list(bins.values())


def _curve(levels: Sequence[_Level], total: int) -> list[CoveragePoint]:
    descending = levels[::-1]
    kept = list(zip(descending, accumulate(descending, _Level.plus), strict=True))
    points = []
    for part in range(1, COVERAGES + 1):
        lowest, sums = next(pair for pair in kept if COVERAGES * pair[1].rows >= part * total)
        points.append(
            CoveragePoint(
                coverage=part / COVERAGES,
                rows=sums.rows,
                confidence=lowest.thousandths / (STEPS * lowest.rows),
                error=(sums.rows - sums.right) / sums.rows,
            )
        )
    return points


def _area(levels: Sequence[_Level], total: int) -> float:
    descending = levels[::-1]
    return math.fsum(
        level.rows * (sums.rows - sums.right) / (total * sums.rows)
        for level, sums in zip(descending, accumulate(descending, _Level.plus), strict=True)
    )

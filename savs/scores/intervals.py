"""95 % intervals of rates: Wilson's if rows are independent, and wider if they come in clusters.

Rows that show the same image tend to be right or wrong together, so a hundred of them are less evidence
than a hundred rows of a hundred images. How much less is estimated from the rows themselves.
"""

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

Z95 = 1.959963984540054  # of the normal distribution: 2.5 % lie beyond it
T95 = (12.706205, 4.302653, 3.182446, 2.776445)  # the same for Student's t with 1 to 4 degrees of freedom

Sizes = Mapping[tuple[int, int], int]  # (rows, hits) of a cluster → number of such clusters


@dataclass(frozen=True)
class Rate:
    """A share of `rows`, which may be groups of rows, with its 95 % interval (`clustered`)."""

    rows: int
    rate: float
    interval: tuple[float, float]


def rate_of(sizes: Sizes) -> Rate:
    """The rate of hits in clusters of those sizes. There must be at least one cluster."""
    rows, hits = _totals(sizes)
    return Rate(rows, hits / rows, clustered(sizes))


def wilson(hits: float, rows: float) -> tuple[float, float]:
    """The 95 % interval of a rate of independent rows (Wilson 1927, without continuity correction).

    Unlike the normal approximation it stays within 0 and 1, and is not a single point at either end.
    """
    rate, square = hits / rows, Z95**2
    centre = rate + square / (2 * rows)
    half = Z95 * math.sqrt(rate * (1 - rate) / rows + square / (4 * rows**2))
    scale = 1 + square / rows
    low = (centre - half) / scale if hits else 0.0  # exactly 0, which rounding would miss
    return low, (centre + half) / scale if hits < rows else 1.0


def clustered(sizes: Sizes) -> tuple[float, float]:
    """The 95 % interval of a rate of rows that come in clusters: Wilson's, on `effective_rows`."""
    rows, hits = _totals(sizes)
    effective = effective_rows(sizes)
    return wilson(hits / rows * effective, effective)


def effective_rows(sizes: Sizes) -> float:
    """The number of independent rows that would determine the rate as precisely as these do.

    With n rows in m clusters, h of n_c rows of a cluster right, and p = Σh / n, the variance of p is
    m / (m − 1) · Σ(h − p·n_c)² / n² (linearised ratio; Cochran 1977, Sampling Techniques, 3.12), and
    n_eff = p(1 − p) / variance · (t[n − 1] / t[m − 1])², where t is Student's: few clusters give a
    poor estimate of their own variance (Korn and Graubard 1998, Survey Methodology 24). As there, n_eff is
    never above n: clusters that seem to be more alike than chance mostly are so by chance, and n is then on
    the safe side.

    If every cluster is a single row, it is n. If all rows are right, or none, or all are in one cluster,
    the variance cannot be estimated; then the rows of a cluster are assumed to be all alike, which is the
    worst case: n² / Σn_c² (the design effect of Kish 1965 with an intraclass correlation of 1).
    """
    rows, hits = _totals(sizes)
    clusters = sum(sizes.values())
    if clusters == rows:
        return float(rows)
    squares = sum(n * n * count for (n, _), count in sizes.items())
    if clusters == 1 or hits in (0, rows):
        return rows * rows / squares
    # In integers, so that the order of the sums has no effect: rows² · Σ(h − p·n_c)².
    scatter = sum((rows * h - hits * n) ** 2 * count for (n, h), count in sizes.items())
    if not scatter:
        return float(rows)
    found = hits * (rows - hits) * rows * rows * (clusters - 1) / (clusters * scatter)
    return min(float(rows), found * (student(rows - 1) / student(clusters - 1)) ** 2)


def student(freedom: int) -> float:
    """The value beyond which 2.5 % of Student's t lie: tabulated, or expanded in 1 / `freedom`
    (Abramowitz and Stegun 1964, 26.7.5), then accurate to 0.003."""
    if freedom <= len(T95):
        return T95[freedom - 1]
    z = Z95
    return (
        z
        + (z**3 + z) / (4 * freedom)
        + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * freedom**2)
        + (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / (384 * freedom**3)
    )


def _totals(sizes: Sizes) -> tuple[int, int]:
    totals: Counter[str] = Counter()
    for (rows, hits), count in sizes.items():
        totals["rows"] += rows * count
        totals["hits"] += hits * count
    return totals["rows"], totals["hits"]

"""Counts of rows per cluster of dependent rows, which can be added up in any order.

Intervals depend on which rows are not independent (`savs.scores.intervals`), and those may be in
different shards. So counts are kept per cluster: exactly up to a limit, beyond it in buckets of many
clusters. Rows of different buckets are independent, too (random groups; Wolter 2007, Introduction to
Variance Estimation, 2), so estimates from buckets are correct.
"""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

MAX_EXACT = 65_536  # entries, about 6 MB; more are folded into buckets
BUCKETS = 4096  # into which clusters are folded: a variance estimated from them is within 5 %


class Cell(NamedTuple):
    """The properties that rows counted together have in common.

    outcome  hits of each rate that they count for
    split    name under which they are scored separately, if there is one
    names    other names that are counted separately, until the counts are folded
    """

    outcome: tuple[int, ...]
    split: str | None = None
    names: tuple[str, ...] = ()


RateName = tuple[str, str | None]  # name, and the class or split that it is a rate of; None for all rows
RatePart = tuple[RateName, int, int]  # a rate, how often a row counts for it, and its hits
Measure = Callable[[Cell], Iterable[RatePart]]


@dataclass
class Clusters:
    """Counts of rows per cell and cluster.

    alone    rows that share nothing with any other
    shared   cell → key of a cluster, 0 to 2³² − 1 → rows; no cell is empty
    folded   whether keys are numbers of buckets, and names are left out
    entries  number of keys in all cells

    The sum of two is the same as one count over the rows of both. Whether it is folded depends on the
    total number of entries, and so not on the order.
    """

    alone: Counter[Cell] = field(default_factory=Counter)
    shared: dict[Cell, Counter[int]] = field(default_factory=dict)
    folded: bool = False
    entries: int = field(init=False)

    def __post_init__(self) -> None:
        self.entries = sum(map(len, self.shared.values()))

    def add(self, cell: Cell, cluster: int | None) -> None:
        """Count a row; `cluster` is None if it shares nothing with any other."""
        if cluster is None:
            self.alone[coarse(cell) if self.folded else cell] += 1
        else:
            self._add(cell, {cluster: 1})

    def update(self, other: "Clusters") -> None:
        """Add `other` to this one."""
        if other.folded:
            self._fold()
        for cell, count in other.alone.items():
            self.alone[coarse(cell) if self.folded else cell] += count
        for cell, clusters in other.shared.items():
            self._add(cell, clusters)

    def _add(self, cell: Cell, clusters: Mapping[int, int]) -> None:
        here = self.shared.setdefault(coarse(cell) if self.folded else cell, Counter())
        before = len(here)
        for cluster, count in clusters.items():
            here[cluster % BUCKETS if self.folded else cluster] += count
        self.entries += len(here) - before
        if self.entries > MAX_EXACT:
            self._fold()

    def _fold(self) -> None:
        if not self.folded:
            exact = Clusters(self.alone, self.shared)
            self.alone, self.shared, self.folded, self.entries = Counter(), {}, True, 0
            self.update(exact)

    def sizes(self, measure: Measure) -> dict[RateName, Counter[tuple[int, int]]]:
        """Per rate: (rows, hits) → number of such clusters. `measure` returns the rates for which the
        rows of a cell count."""
        found: defaultdict[RateName, Counter[tuple[int, int]]] = defaultdict(Counter)
        for cell, count in self.alone.items():
            for rate, rows, hits in measure(cell):
                found[rate][rows, hits] += count
        joined: defaultdict[RateName, dict[int, tuple[int, int]]] = defaultdict(dict)
        for cell, counts in self.shared.items():
            for rate, rows, hits in measure(cell):
                clusters = joined[rate]
                for cluster, count in counts.items():
                    n, h = clusters.get(cluster, (0, 0))
                    clusters[cluster] = n + rows * count, h + hits * count
        for rate, clusters in joined.items():
            found[rate].update(clusters.values())
        return dict(found)


def coarse(cell: Cell) -> Cell:
    """The cell without its names, as folded counts have it."""
    return cell if not cell.names else Cell(cell.outcome, cell.split)


def key_of(*names: str) -> int:
    """The key of a cluster: 32 bits of a hash. Two that collide are counted as one, which does no harm."""
    return int.from_bytes(hashlib.sha256("\0".join(names).encode("utf-8", "surrogatepass")).digest()[:4])

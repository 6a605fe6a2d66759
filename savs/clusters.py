"""Counts of rows by what they show, which can be added up in any order.

Intervals need to know which rows are not independent (`savs.intervals`), and those may lie in different
shards. So what is counted is kept apart by cluster: exactly while there is not much of it, beyond that
in buckets of many clusters. A bucket's rows are independent of another's, too (random groups; Wolter
2007, Introduction to Variance Estimation, 2), so what is estimated from buckets is right.
"""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

MAX_EXACT = 65_536  # entries, about 15 MB; more are folded
BUCKETS = 4096  # into which clusters are folded: a variance estimated from them is within 5 %


class Cell(NamedTuple):
    """What rows that are counted together have in common.

    outcome  how often each rate that they count for was hit
    split    under which they are scored apart, where there is one
    names    what else is told apart, until it is folded
    """

    outcome: tuple[int, ...]
    split: str | None = None
    names: tuple[str, ...] = ()


RateName = tuple[str, str | None]  # and what it is the rate of: a class, a split, or all
Part = tuple[RateName, int, int]  # a rate, how often a row counts there, and how often it hits
Measure = Callable[[Cell], Iterable[Part]]


@dataclass
class Clusters:
    """Counts of rows per cell and cluster.

    alone   rows that share nothing with any other
    shared  rows by cell and their cluster's key, 0 to 2³² − 1
    folded  whether keys are those of BUCKETS, and names are left out

    Two of them add to what would have been counted at once. Whether that is folded follows from the
    number of entries in all, and so not from the order.
    """

    alone: Counter[Cell] = field(default_factory=Counter)
    shared: Counter[tuple[Cell, int]] = field(default_factory=Counter)
    folded: bool = False

    def add(self, cell: Cell, cluster: int | None) -> None:
        """Counts a row; `cluster` is None where it shares nothing with any other."""
        cell = folded(cell) if self.folded else cell
        if cluster is None:
            self.alone[cell] += 1
        else:
            self.shared[cell, cluster % BUCKETS if self.folded else cluster] += 1
            self._fold_if_many()

    def update(self, other: "Clusters") -> None:
        """Adds `other` to this one."""
        if other.folded:
            self._fold()
        if self.folded and not other.folded:
            for cell, count in other.alone.items():
                self.alone[folded(cell)] += count
            for (cell, cluster), count in other.shared.items():
                self.shared[folded(cell), cluster % BUCKETS] += count
        else:
            self.alone.update(other.alone)
            self.shared.update(other.shared)
            self._fold_if_many()

    def _fold_if_many(self) -> None:
        if len(self.shared) > MAX_EXACT:
            self._fold()

    def _fold(self) -> None:
        if self.folded:
            return
        alone, shared = self.alone, self.shared
        self.alone, self.shared, self.folded = Counter(), Counter(), True
        self.update(Clusters(alone, shared))

    def sizes(self, measure: Measure) -> dict[RateName, Counter[tuple[int, int]]]:
        """Per rate: how many clusters have so many rows and hits. `measure` says for which rates the
        rows of a cell count."""
        found: defaultdict[RateName, Counter[tuple[int, int]]] = defaultdict(Counter)
        for cell, count in self.alone.items():
            for rate, rows, hits in measure(cell):
                found[rate][rows, hits] += count
        joined: defaultdict[RateName, dict[int, tuple[int, int]]] = defaultdict(dict)
        parts: dict[Cell, tuple[Part, ...]] = {}
        for (cell, cluster), count in self.shared.items():
            if cell not in parts:
                parts[cell] = tuple(measure(cell))
            for rate, rows, hits in parts[cell]:
                before = joined[rate].get(cluster, (0, 0))
                joined[rate][cluster] = before[0] + rows * count, before[1] + hits * count
        for rate, clusters in joined.items():
            found[rate].update(clusters.values())
        return dict(found)


def folded(cell: Cell) -> Cell:
    return cell if not cell.names else Cell(cell.outcome, cell.split)


def key_of(*names: str) -> int:
    """The key of a cluster: 32 bits of a hash. Two that meet are counted as one, which does no harm."""
    return int.from_bytes(hashlib.sha256("\0".join(names).encode("utf-8", "surrogatepass")).digest()[:4])

"""Finds keys that repeat among any number of them, in 8 bytes for each."""

from typing import Any

SHOWN = 3
RECENT = 200_000  # keys that are held as they are, before their hashes join the others


class RepeatedKeys:
    """Counts keys that were added before. Of 10^8 keys, two different ones are taken for one with a
    probability of 0.03 %.

    count  keys that were there before
    first  the first ones of these
    """

    def __init__(self) -> None:
        self.count = 0
        self.first: list[str] = []
        self._recent: dict[int, str] = {}
        self._sorted: Any = None  # int64 [keys so far]

    def add(self, key: str) -> None:
        number = hash(key)
        if number in self._recent:
            self._tell(key)
            return
        self._recent[number] = key
        if len(self._recent) == RECENT:
            self.finish()

    def finish(self) -> None:
        """Compare the keys that were added last with the earlier ones."""
        import numpy as np

        if self._sorted is None:
            self._sorted = np.zeros(0, np.int64)
        recent = np.fromiter(self._recent, np.int64, len(self._recent))
        places = np.searchsorted(self._sorted, recent)
        there = places < len(self._sorted)
        there[there] = self._sorted[places[there]] == recent[there]
        for number in recent[there].tolist():
            self._tell(self._recent[number])
        new = np.sort(recent[~there])
        self._sorted = np.insert(self._sorted, np.searchsorted(self._sorted, new), new)
        self._recent = {}

    def _tell(self, key: str) -> None:
        self.count += 1
        if len(self.first) < SHOWN:
            self.first.append(key)

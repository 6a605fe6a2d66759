"""How many workers KEDA and the HorizontalPodAutoscaler (HPA) want.

KEDA itself only switches between 0 and 1; between 1 and the maximum its HPA decides.
"""

import math
from collections import deque

from bench.fleet.settings import Scaling

TOLERANCE = 0.1  # of the HPA: it leaves a number of workers that is wrong by less


class Scaler:
    """The number of workers that is wanted, from what was outstanding so far."""

    def __init__(self, scaling: Scaling) -> None:
        self.scaling = scaling
        self.wanted = 0
        self.active_at = -math.inf
        self.recommended: deque[tuple[float, int]] = deque()
        self.changes: deque[tuple[float, int]] = deque()

    def look(self, now: float, outstanding: int) -> int:
        """Return the number of workers wanted after a look at the board."""
        if outstanding:
            self.active_at = now
            self.wanted = self.wanted or 1
        elif now - self.active_at >= self.scaling.cooldown:
            self.wanted = 0
            self.recommended.clear()
            self.changes.clear()
        if self.wanted:
            new = self._limited(now, self._stabilised(now, self._recommendation(outstanding)))
            if new != self.wanted:
                self.changes.append((now, new - self.wanted))
                self.wanted = new
        return self.wanted

    def _recommendation(self, outstanding: int) -> int:
        needed = outstanding / self.scaling.list_length
        if abs(needed / self.wanted - 1) <= TOLERANCE:
            return self.wanted
        return min(max(math.ceil(needed), 1), self.scaling.maximum)

    def _stabilised(self, now: float, recommendation: int) -> int:
        """The largest of the window's recommendations, unless more workers are wanted now."""
        if not self.recommended:
            self.recommended.append((now, self.wanted))
        self.recommended.append((now, recommendation))
        while self.recommended[0][0] < now - self.scaling.stabilisation:
            self.recommended.popleft()
        if recommendation >= self.wanted:
            return recommendation
        return min(self.wanted, max(number for _, number in self.recommended))

    def _limited(self, now: float, number: int) -> int:
        rules = self.scaling
        while self.changes and self.changes[0][0] <= now - max(rules.grow_period, rules.shrink_period):
            self.changes.popleft()
        added = sum(n for at, n in self.changes if n > 0 and at > now - rules.grow_period)
        removed = -sum(n for at, n in self.changes if n < 0 and at > now - rules.shrink_period)
        most = self.wanted - added + rules.grow_by
        least = int((self.wanted + removed) * rules.shrink_to)
        return max(1, min(number, max(most, self.wanted)) if number > self.wanted else max(number, least))

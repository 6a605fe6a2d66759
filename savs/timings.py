"""Where the time of a run goes: seconds per stage, and how much of what was done."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from threading import Lock


@dataclass
class Timings:
    """Seconds spent per stage, and counts: `items`, `tokens` (with padding), `pixels`, `forwards`.

    Stages run beside each other, in threads, so they may add up to more than passed.
    """

    seconds: dict[str, float] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)
    _lock: Lock = field(default_factory=Lock, repr=False)

    def add(self, stage: str, seconds: float) -> None:
        with self._lock:
            self.seconds[stage] = self.seconds.get(stage, 0.0) + seconds

    def count(self, what: str, number: int) -> None:
        with self._lock:
            self.counts[what] = self.counts.get(what, 0) + number

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        began = time.perf_counter()
        try:
            yield
        finally:
            self.add(name, time.perf_counter() - began)

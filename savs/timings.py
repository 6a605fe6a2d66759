"""Timings of a run: seconds per stage, and counts of the work done."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from threading import Lock
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch


@dataclass
class Timings:
    """Seconds spent per stage, and counts: `items`, `tokens` (with padding), `pixels`, `forwards`.

    Stages of threads: `fetch`, `decode`, `preprocess`. Stages of the device (`Marks`): `copy`, `vision`,
    `language`, `readout`, and `device`, the sum of the last three: divided by the seconds of a run, it is
    the share of time that the device was busy. `forward` is the time of the thread that starts batches;
    it runs ahead of a GPU.

    Stages run in parallel, in threads, so their sum may be more than the time that passed.
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


class Marks:
    """The times at which the stages of one batch ended on a device. A GPU reaches them later than the
    code, so there each end is an event in its stream, and no thread waits for it."""

    def __init__(self, device: "torch.device") -> None:
        self.device = device
        self.began, self.ends = self._now(), list[tuple[str, Any]]()

    def end(self, stage: str) -> None:
        """Assign all work given to the device since the last end to `stage`."""
        self.ends.append((stage, self._now()))

    def add_to(self, timings: Timings) -> None:
        """Add the stages' seconds, and those of all but `copy` to `device`. Wait for the last one.

        Time in which a GPU is idle inside a stage, because kernels are started more slowly than it runs
        them, counts as busy.
        """
        gpu, before = self.device.type == "cuda", self.began
        if gpu:
            self.ends[-1][1].synchronize()
        for stage, moment in self.ends:
            seconds = before.elapsed_time(moment) / 1000 if gpu else moment - before
            timings.add(stage, seconds)
            if stage != "copy":
                timings.add("device", seconds)
            before = moment

    def _now(self) -> Any:
        if self.device.type != "cuda":
            return time.perf_counter()
        import torch

        event = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
        event.record(torch.cuda.current_stream(self.device))
        return event

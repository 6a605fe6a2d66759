"""Times a function on a device."""

import statistics
import time
from collections.abc import Callable

import torch

RUNS = 5  # timings, of which the median is taken
CALLS = {"cuda": 20, "cpu": 2}  # per timing


def seconds(device: torch.device, function: Callable[[], object]) -> float:
    """Return the seconds of a call, the median of RUNS timings of several calls each. The first call is not
    timed."""
    calls = CALLS[device.type]
    times = []
    for run in range(RUNS + 1):
        began = time.perf_counter()
        for _ in range(calls if run else 1):
            function()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        times.append((time.perf_counter() - began) / calls)
    return statistics.median(times[1:])

"""Profiles a few batches: how long the device runs kernels, which ones, and which calls wait for it."""

import json
import tempfile
import time
import warnings
from collections import Counter
from pathlib import Path
from typing import Any

import torch
from torch.profiler import ProfilerActivity, profile

from bench.engine.runs import label
from bench.figures import Figure
from bench.gpu.setting import Found, Setting
from savs.timings import Timings

ITEMS = 768
TOP = 15  # kernels
KERNELS = ("kernel", "gpu_memcpy", "gpu_memset")


def profile_batches(setting: Setting) -> Found:
    """Profile with kernels only, as a profile of the host's operations slows the host down. On a CPU, which
    has no kernels, its operations take their place. The longest gap is expected at the start, while the
    first window is decoded; where it was is not looked at."""
    rows = setting.pictures[:ITEMS]
    label(setting.model, setting.readout, rows[: len(rows) // 2], Timings())
    kind = ProfilerActivity.CUDA if setting.gpu else ProfilerActivity.CPU
    began = time.perf_counter()
    with profile(activities=[kind]) as found:
        label(setting.model, setting.readout, rows, Timings())
    wall = time.perf_counter() - began
    with tempfile.TemporaryDirectory(prefix="savs-profile-") as place:
        trace = Path(place) / "trace.json"
        found.export_chrome_trace(str(trace))
        events = json.loads(trace.read_bytes())["traceEvents"]
    kernels = [e for e in events if e.get("cat") in (KERNELS if setting.gpu else ("cpu_op",))]
    spans = sorted((e["ts"], e["ts"] + e["dur"]) for e in kernels)
    inside = (spans[-1][1] - spans[0][0]) / 1e6 if spans else 0.0
    busy, idle = union(spans) / 1e6, gaps(spans)
    bar = "≥ 0.95" if setting.gpu and setting.shape != "demo" else None
    figures = [
        Figure("device busy, from the first kernel to the last", busy / inside, ""),
        Figure("device busy, without the longest gap", busy / (inside - idle[0] / 1e3), "", bar),
        Figure("kernels a picture", len(kernels) / len(rows), ""),
    ]
    seconds: Counter[str] = Counter()
    for event in kernels:
        seconds[event["name"][:120]] += event["dur"] / 1e6
    waits = Counter(e["name"] for e in events if "ynchronize" in e.get("name", ""))
    details = {
        "items": len(rows),
        "seconds": {"wall": round(wall, 3), "kernels": round(busy, 3), "first to last": round(inside, 3)},
        "milliseconds a picture": {n: round(1e3 * s / len(rows), 4) for n, s in seconds.most_common(TOP)},
        "longest gaps, ms": idle,
        "waits of the host": dict(waits),
        "waits by place": _waits(setting),
    }
    return Found(figures, details)


def union(spans: list[tuple[float, float]]) -> float:
    """Return the length of the union of sorted intervals."""
    total, until = 0.0, float("-inf")
    for start, end in spans:
        if end > until:
            total += end - max(start, until)
            until = end
    return total


def gaps(spans: list[tuple[float, float]]) -> list[float]:
    """Return the ten longest gaps between sorted intervals in microseconds, in milliseconds."""
    found, until = [], spans[0][1] if spans else 0.0
    for start, end in spans:
        found.append(max(0.0, start - until))
        until = max(until, end)
    return [round(gap / 1e3, 3) for gap in sorted(found, reverse=True)[:10]]


def _waits(setting: Setting) -> dict[str, Any]:
    """Return how often a call waited for the device, by the line that made it, over all batches."""
    if not setting.gpu:
        return {}
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        torch.cuda.set_sync_debug_mode("warn")
        try:
            label(setting.model, setting.readout, setting.pictures[:ITEMS], Timings())
        finally:
            torch.cuda.set_sync_debug_mode("default")
    places = Counter(
        f"{'/'.join(Path(one.filename).parts[-3:])}:{one.lineno}"
        for one in told
        if "synchronizing" in str(one.message)
    )
    return dict(places.most_common(TOP))

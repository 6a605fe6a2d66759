"""Takes memory away until a batch does not fit, and sees what the engine makes of it."""

from unittest.mock import patch

import torch

from bench.engine.runs import label
from bench.figures import Figure
from bench.gpu.setting import Found, Setting
from savs.engine import extract
from savs.engine.engine import Engine
from savs.timings import Timings

ITEMS = 512
LEFT = 0.4  # of the memory that batches took before


def run_out(setting: Setting) -> Found:
    """Label pictures with less memory than a batch needs: all must get a label, and the budget must stay near
    what fits."""
    if not setting.gpu:
        return Found([], {"left out": "no GPU"})
    device, rows = setting.device, setting.pictures[:ITEMS]
    model, readout = setting.model, setting.readout
    torch.cuda.empty_cache()
    weights = torch.cuda.memory_reserved(device)
    torch.cuda.reset_peak_memory_stats(device)
    label(model, readout, rows, Timings())
    peak = torch.cuda.max_memory_reserved(device)
    total = torch.cuda.get_device_properties(device).total_memory
    torch.cuda.empty_cache()
    engines: list[Engine] = []

    def keep(*given: object) -> Engine:
        engines.append(Engine(*given))  # type: ignore[arg-type]
        return engines[-1]

    timings = Timings()
    torch.cuda.set_per_process_memory_fraction((weights + LEFT * (peak - weights)) / total, device)
    try:
        with patch.object(extract, "Engine", keep):
            labels = label(model, readout, rows, timings)
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0, device)
        torch.cuda.empty_cache()
    [engine] = engines
    figures = [
        Figure("out of memory: items labelled", len(labels), f"of {len(rows)}", f"≥ {len(rows)}"),
        Figure("out of memory: tokens a batch afterwards", engine.budget.tokens, ""),
        Figure("out of memory: batches", timings.counts["forwards"], ""),
    ]
    gib = {"weights": weights, "with a batch": peak}
    return Found(figures, {"GiB": {name: round(size / 2**30, 2) for name, size in gib.items()}})

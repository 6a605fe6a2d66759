"""Times what the engine is made of: copies, matrix products of the model's sizes, and what runs as one
kernel.

What may run as one kernel is timed on the inputs of a real batch, in both forms.
"""

from collections.abc import Callable
from functools import partial
from typing import Any
from unittest.mock import patch

import torch

from bench.figures import Figure
from bench.gpu.clock import seconds
from bench.gpu.setting import Found, Setting
from savs.engine import batches
from savs.engine.engine import default_budget
from savs.engine.forward import read_vectors
from savs.engine.packing import PackedRow, pack
from savs.layers.fused import Fused

COPIED = {"cuda": 2**31, "cpu": 2**24}  # bytes
WIDTHS = (3420, 3424, 3456)  # of the vision tower's inner layer: as published, and rounded up
ROWS = {"cuda": 2**17, "cpu": 2**8}  # patches of 128 pictures of 448 × 448
TOWER = 1280


def time_products(setting: Setting) -> Found:
    """Time a large matrix product, copies, and the vision tower's products at several widths."""
    device, kind = setting.device, setting.device.type
    figures = [Figure("matrix product", setting.product, "TFLOP/s")]
    here = torch.empty(COPIED[kind], dtype=torch.uint8, device=device)
    figures.append(Figure("copy on the device", 2 * here.numel() / seconds(device, here.clone) / 1e9, "GB/s"))
    if setting.gpu:
        pinned = torch.empty(COPIED[kind] // 8, dtype=torch.uint8, pin_memory=True)
        took = seconds(device, lambda: pinned.to(device, non_blocking=True))
        figures.append(Figure("copy to the device", pinned.numel() / took / 1e9, "GB/s"))
    dtype = torch.bfloat16 if setting.gpu else torch.float32
    x = torch.randn(ROWS[kind], TOWER, device=device, dtype=dtype)
    for width in WIDTHS:
        up = torch.randn(width, TOWER, device=device, dtype=dtype)
        wide = torch.randn(ROWS[kind], width, device=device, dtype=dtype)
        took = sum(seconds(device, partial(torch.matmul, *both)) for both in ((x, up.T), (wide, up)))
        figures.append(Figure(f"products of width {width}", 4 * x.numel() * width / took / 1e12, "TFLOP/s"))
    return Found(figures, {})


def time_kernels(setting: Setting) -> Found:
    """Time both forms of what may run as one kernel."""
    calls: dict[tuple[str, tuple[int, ...]], tuple[Fused, tuple[Any, ...]]] = {}
    counts: dict[tuple[str, tuple[int, ...]], int] = {}

    def record(part: Fused, *given: Any, **options: Any) -> Any:
        key = (part.kind, tuple(given[0].shape))
        counts[key] = counts.get(key, 0) + 1
        if key not in calls:
            calls[key] = part, tuple(one.clone() if isinstance(one, torch.Tensor) else one for one in given)
        return part.plain(*given, **options)

    with patch.object(Fused, "__call__", record):
        read_vectors(setting.model, batch_of(setting))
    figures, details = [], {}
    for (kind, shape), (part, given) in calls.items():
        name = f"{kind} {' × '.join(map(str, shape))}"
        plain, fused = (_milliseconds(setting, one, given) for one in (part.plain, part.fused))
        figures.append(Figure(f"{name}: plain over fused", plain / fused, "×"))
        details[name] = {"plain ms": plain, "fused ms": fused, "calls a batch": counts[kind, shape]}
    return Found(figures, details)


def _milliseconds(setting: Setting, function: Callable[..., Any], given: tuple[Any, ...]) -> float:
    with torch.inference_mode():
        return round(1e3 * seconds(setting.device, lambda: function(*given)), 4)


def batch_of(setting: Setting) -> batches.Batch:
    """Return a batch of as many pictures as the budget allows."""
    from savs.data.media import open_media

    model, tokens = setting.model, batches.tokens_of(setting.model)
    samples = setting.pictures[:256]
    media = [open_media(sample.media[0], model.sampling) for sample in samples]
    rows = [
        PackedRow((one,), (str(sample.question),), (sample.index,), count + 32)
        for one, sample, count in zip(media, samples, tokens(media), strict=True)
    ]
    [batch], _ = batches.build(model, pack(rows, default_budget(model))[0])
    return batch

"""What the machine is, and which of the engine's fast ways it takes."""

import os
from typing import Any

import torch

from bench.figures import engine_versions, machine
from bench.gpu.setting import Found, Setting
from savs.layers.fused import ROTATIONS, Fused
from savs.model.model import Model


def probe(setting: Setting) -> Found:
    return Found(
        [],
        {
            "machine": machine(),
            "cores": os.cpu_count(),
            "device": torch.cuda.get_device_name(setting.device) if setting.gpu else "cpu",
            "cuda": torch.version.cuda,
            "versions": engine_versions(),
            "variable-length attention": _varlen(setting),
        },
    )


def load(setting: Setting) -> Found:
    """Build the model, and say what its trials have found."""
    model = setting.model
    said: dict[str, Any] = {
        "dtype": model.dtype,
        "shares": model.shares,
        "derives": model.derives,
        "raw": _raw(model),
        "fused": _fused(model.network),
    }
    if setting.gpu:
        said["GiB"] = round(torch.cuda.memory_allocated(setting.device) / 2**30, 2)
    return Found([], said)


def _varlen(setting: Setting) -> str:
    """Return "yes", or why PyTorch's attention over chunks of different lengths fails."""
    if not setting.gpu:
        return "no GPU"
    try:
        from torch.nn.attention.varlen import varlen_attn

        q = torch.randn(24, 2, 80, device=setting.device, dtype=torch.bfloat16)
        borders = torch.tensor([0, 8, 24], device=setting.device, dtype=torch.int32)
        varlen_attn(q, q, q, borders, borders, 16, 16, scale=0.1)
    except Exception as error:
        return f"{type(error).__name__}: {error}".splitlines()[0]
    return "yes"


def _raw(model: Model) -> list[str]:
    """Return which media the processor leaves to the device to normalise."""
    return [kind for kind in ("images", "videos") if getattr(model.raw, kind) is not None]


def _fused(network: Any) -> dict[str, str]:
    """Return, for each kind of what may run as one kernel, how many were tried and how many agree."""
    import sys

    found: dict[str, list[bool]] = {}
    homes = {type(module).__module__ for module in network.modules()}
    parts = [vars(module).get("forward") for module in network.modules()]
    parts += [vars(sys.modules[home]).get(name) for home in homes for name in ROTATIONS]
    for part in parts:
        if isinstance(part, Fused) and part.agrees:
            found.setdefault(part.kind, []).append(all(part.agrees.values()))
    return {kind: f"{sum(agree)} of {len(agree)}" for kind, agree in found.items()}

"""Pixels as bytes: processors return them unnormalised, and the model's device normalises them.

Normalising on the host is most of the work of preparing a picture, and makes four bytes of one before they
are copied to the device; a processor that repeats a picture in time makes eight. Which processors can leave
both out, and what gives their own output, is found when a model is loaded (`savs.trials.raw_pixels`).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch
    from PIL.Image import Image

CACHED_DEVICES = 64  # of which the constants of a normalisation are kept
CHANNELS = 3
CACHED = 2**18  # values that a CPU normalises at once: their float32 fits into its cache


@dataclass(frozen=True)
class Normalisation:
    """How the bytes of a processor become the pixels that it returns by itself.

    names      its outputs that have pixels
    mean       of each channel, subtracted from the bytes
    std        of each channel, then divided by; both as float32 has them
    repeats    how often each patch is repeated in time, which the bytes leave out
    arguments  of the call of the image or video processor that returns bytes
    """

    names: frozenset[str]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    repeats: int = 1
    arguments: Mapping[str, Any] = field(default_factory=dict, hash=False)

    def of(self, values: "torch.Tensor", dtype: "torch.dtype") -> "torch.Tensor":
        """Return the pixels, in `dtype`, of bytes [..., 3, height, width] or [patches, 3 · time · height ·
        width]. Computed in float32 with the operations of transformers, so that every bit is the same."""
        import torch

        mean, std = _constants(self, values.device)
        flat = values.ndim == 2
        source = values.view(len(values), CHANNELS, 1, -1) if flat else values
        shape = [len(values), CHANNELS, self.repeats, source.shape[-1]] if flat else list(values.shape)
        pixels = torch.empty(shape, dtype=dtype, device=values.device)
        each = max(1, len(values))
        if values.device.type == "cpu" and values.numel():
            each = max(1, CACHED // source[0].numel())
        for part, place in zip(torch.split(source, each), torch.split(pixels, each), strict=True):
            place.copy_(part.to(torch.float32).sub_(mean).div_(std))
        return pixels.flatten(1) if flat else pixels


@lru_cache(CACHED_DEVICES)
def _constants(rule: Normalisation, device: "torch.device") -> "tuple[torch.Tensor, torch.Tensor]":
    """Return mean and std, float32 [3, 1, 1], on a device. Kept, because copying them makes it wait."""
    import torch

    both = torch.tensor([rule.mean, rule.std], dtype=torch.float32).view(2, CHANNELS, 1, 1).to(device)
    return both[0], both[1]


@dataclass(frozen=True)
class Raw:
    """The normalisations of a processor's images and videos; None where it normalises itself."""

    images: Normalisation | None = None
    videos: Normalisation | None = None


@dataclass(frozen=True)
class RawPixels:
    """An input of the network before normalisation: uint8 `values`. Not a tensor, so that a network that is
    given it without `on` fails instead of computing with bytes."""

    values: "torch.Tensor"
    rule: Normalisation

    def pin_memory(self) -> "RawPixels":
        """Return the same in memory from which a GPU copies without waiting."""
        return RawPixels(self.values.pin_memory(), self.rule)

    def on(self, device: "torch.device", dtype: "torch.dtype") -> "torch.Tensor":
        """Return the pixels on a device, normalised there."""
        return self.rule.of(self.values.to(device, non_blocking=True), dtype)


def planes(image: "Image") -> Any:
    """Return uint8 [3, height, width] of an RGB image, as processors need it; another image unchanged.

    Pillow splits channels faster than they can be transposed.
    """
    import numpy as np
    import torch

    if image.mode != "RGB":
        return image
    return torch.from_numpy(np.stack([np.asarray(channel) for channel in image.split()]))

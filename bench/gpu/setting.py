"""What all steps of the measurement share: the device, the model at its real size, the media, the readout."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch

import savs
from bench.engine import shapes
from bench.engine.baseline import HEADS
from bench.figures import Figure
from bench.gpu.clock import seconds
from bench.gpu.pictures import pictures
from savs.data.samples import Sample
from savs.model.model import Model
from savs.readout.fit import Readout

EXAMPLES = 8  # on which the readout is fitted
PRODUCT = {"cuda": 8192, "cpu": 1024}  # rows and columns of the matrices whose product is timed


@dataclass
class Setting:
    """A run of the measurement.

    folder  where media are drawn
    items   number of pictures
    side    pixels of a picture that is not resized, and of a video
    """

    device: torch.device
    shape: str
    folder: Path
    items: int
    side: int

    @property
    def gpu(self) -> bool:
        return self.device.type == "cuda"

    @cached_property
    def model(self) -> Model:
        return shapes.build(self.shape, self.device)

    @cached_property
    def pictures(self) -> list[Sample]:
        return pictures(self.folder, self.items, self.side)

    @cached_property
    def readout(self) -> Readout:
        extracted = savs.extract(self.model, self.pictures[:EXAMPLES])
        found = savs.fit(extracted.vectors, [str(s.label) for s in extracted.samples], HEADS)
        assert isinstance(found, Readout)
        return found

    @cached_property
    def product(self) -> float:
        """The 10^12 operations per second of a product of square matrices in the model's dtype."""
        size = PRODUCT[self.device.type]
        dtype = torch.bfloat16 if self.gpu else torch.float32
        a, b = (torch.randn(size, size, device=self.device, dtype=dtype) for _ in range(2))
        return 2 * size**3 / seconds(self.device, lambda: a @ b) / 1e12


@dataclass(frozen=True)
class Found:
    """The result of a step: figures, some with bars, and whatever else is to be kept."""

    figures: list[Figure]
    details: dict[str, Any]

"""Head vectors of several items, and the head that each of their values belongs to."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from savs.model.heads import HeadLayout

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True)
class HeadVectors:
    """Head vectors of n items: `values` float32 [n, layout.width], divided by `layout`."""

    layout: HeadLayout
    values: "np.ndarray"

    def __len__(self) -> int:
        return len(self.values)

    def __repr__(self) -> str:
        return f"HeadVectors(items: {len(self)}, {self.layout.counts})"

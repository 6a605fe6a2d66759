"""A readout of the best heads' Gaussian discriminants, whose probabilities are averaged.

`savs.estimators.hec` fits it. A head's log densities are inner products with its vector, up to a number that
is the same for all classes, so that on the device it costs no more than a linear readout.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from savs.engine.vectors import HeadVectors
from savs.model.heads import HeadLayout
from savs.readout.answer import Answer, answer_of
from savs.readout.linear import Group, groups_of, logits_of
from savs.readout.records import head_layout, layer_entries
from savs.readout.stored import (
    HEC,
    LinearDescription,
    linear_from_bytes,
    linear_to_bytes,
    read_file,
    write_file,
)

if TYPE_CHECKING:
    import numpy as np
    import torch

    from savs.estimators.hec import HecFit


@dataclass(frozen=True)
class HecReadout:
    """Fitted discriminants: a class's probability is z^(1/t), normalised, where z is the mean over heads of
    softmax(x̂ · weights + intercept), and x̂ is a head's vector at length 1.

    mode         "hec"
    classes      class names in order of first appearance
    heads        int32 [k, 2]: (layer, head), best first
    weights      float32 [width of the heads, classes], head after head in that order
    intercepts   float32 [k, classes]
    temperature  t
    layout       of the head vectors used for fitting
    log_ratio    float [classes]: log(new prior / old prior), or empty
    """

    mode: str
    classes: tuple[str, ...]
    heads: "np.ndarray"
    weights: "np.ndarray"
    intercepts: "np.ndarray"
    temperature: float
    layout: HeadLayout
    log_ratio: tuple[float, ...] = ()

    def __repr__(self) -> str:
        return (
            f"HecReadout({self.mode!r}, classes: {len(self.classes)}, heads: {len(self.heads)} of "
            f"{self.layout.counts})"
        )

    def scores(self, vectors: HeadVectors) -> "np.ndarray":
        """Return float64 [n, classes]: the probability of each class. Raises ArtifactMismatch if the vectors
        come from a model with other heads or lack one of the readout's, and FitError if they contain NaN or
        infinity."""
        from savs.estimators.temperature import softmax

        return softmax(logits_of(self, DeviceHec.of, vectors))

    def with_log_prior(self, log_ratio: Sequence[float]) -> "HecReadout":
        """Return the readout for another prior; `log_ratio` float [classes] is log(new prior / old prior)."""
        return replace(self, log_ratio=tuple(log_ratio))

    def save(self, path: str | Path) -> None:
        """Write the readout into one safetensors file at `path`, a local path or s3:// address; replace the
        file if there is one. Raises StorageError."""
        write_file(path, self.to_bytes())

    @staticmethod
    def load(path: str | Path) -> "HecReadout":
        """Return the readout that `save` wrote to `path`, with the same values.

        Raises ArtifactNotFound, ArtifactError if the file is damaged or something else, and StorageError
        if it cannot be read.
        """
        return hec_of(read_file(path), str(path))

    def to_bytes(self) -> bytes:
        """Return the file that `save` writes."""
        said = LinearDescription(
            mode=self.mode,
            classes=self.classes,
            temperature=self.temperature,
            layout=layer_entries(self.layout),
        )
        return linear_to_bytes(self.heads, self.weights, self.intercepts, said)


def hec_of(data: bytes, name: str) -> HecReadout:
    """Return the readout in a file called `name`. Raises ArtifactError."""
    description, heads, weights, intercepts = linear_from_bytes(data, name, hec=True)
    return HecReadout(
        mode=description.mode,
        classes=description.classes,
        heads=heads,
        weights=weights,
        intercepts=intercepts,
        temperature=description.temperature,
        layout=head_layout(description.layout),
    )


def readout_of_fit(
    found: "HecFit", temperature: float, classes: Sequence[str], layout: HeadLayout
) -> HecReadout:
    """Return the readout of a fit on vectors of `layout`."""
    import numpy as np

    heads = [layout.heads()[number] for number in found.heads]
    return HecReadout(
        mode=HEC,
        classes=tuple(classes),
        heads=np.array(heads, dtype=np.int32).reshape(-1, 2),
        weights=np.concatenate(found.weights).astype(np.float32),
        intercepts=found.intercepts.astype(np.float32),
        temperature=temperature,
        layout=layout,
    )


@dataclass(frozen=True)
class DeviceHec:
    """The readout on a device, for vectors of a layout."""

    readout: HecReadout
    groups: tuple[Group, ...]
    intercepts: "torch.Tensor"

    @classmethod
    def of(cls, readout: HecReadout, layout: HeadLayout, device: "torch.device | str" = "cpu") -> "DeviceHec":
        """Return the readout on `device`. Raises KeyError if `layout` lacks one of its heads."""
        import torch

        groups = groups_of(readout.heads, readout.weights, readout.layout, layout, device)
        return cls(readout, groups, torch.from_numpy(readout.intercepts).to(device))

    @property
    def width(self) -> int:
        """Values per item that `read` returns."""
        return len(self.readout.classes)

    def read(self, vectors: "torch.Tensor") -> "torch.Tensor":
        """Return float32 [n, classes]: logits of vectors float32 [n, layout.width] on the device."""
        import torch

        total = torch.zeros(len(vectors), self.width, device=vectors.device)
        for group in self.groups:
            unit = torch.nn.functional.normalize(vectors[:, group.columns].float(), dim=-1)
            said = torch.einsum("nhd,hdc->nhc", unit, group.weights) + self.intercepts[group.ranks]
            total += said.softmax(-1).sum(1)
        logits = (total / len(self.readout.heads)).clamp(min=torch.finfo(torch.float32).tiny).log()
        logits = logits / self.readout.temperature
        if not self.readout.log_ratio:
            return logits
        return logits + torch.tensor(self.readout.log_ratio, device=vectors.device)

    def answers(self, values: "torch.Tensor") -> list[Answer]:
        """Return one answer per item from the logits that `read` returned."""
        from savs.estimators.temperature import softmax

        return [answer_of(self.readout.classes, row) for row in softmax(values.double().numpy()).tolist()]

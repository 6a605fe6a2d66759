"""Linear readouts: each class's score is an inner product with the head vectors; its probability follows.

`ridge` and `corpus` are fitted by `savs.estimators`. On the device a readout is one matrix product over the
heads that it needs.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TypeVar

from savs.engine.vectors import HeadVectors
from savs.errors import ArtifactMismatch, FitError
from savs.model.heads import HeadLayout
from savs.readout.answer import Answer, answer_of
from savs.readout.records import head_layout, layer_entries
from savs.readout.stored import LinearDescription, linear_from_bytes, linear_to_bytes, read_file, write_file

if TYPE_CHECKING:
    import numpy as np
    import torch


@dataclass(frozen=True)
class LinearReadout:
    """A fitted linear readout: probabilities are softmax((x̂ · weights + intercept) / temperature), where x̂
    has each head's vector at length 1.

    mode         "ridge", or "corpus" if it also learned from unlabelled rows
    classes      class names in order of first appearance
    heads        int32 [k, 2]: (layer, head), the heaviest first
    weights      float32 [width of the heads, classes], head after head in that order
    intercept    float32 [classes]
    temperature  of the scores
    layout       of the head vectors used for fitting
    """

    mode: str
    classes: tuple[str, ...]
    heads: "np.ndarray"
    weights: "np.ndarray"
    intercept: "np.ndarray"
    temperature: float
    layout: HeadLayout

    def __repr__(self) -> str:
        return (
            f"LinearReadout({self.mode!r}, classes: {len(self.classes)}, heads: {len(self.heads)} of "
            f"{self.layout.counts})"
        )

    def scores(self, vectors: HeadVectors) -> "np.ndarray":
        """Return float64 [n, classes]: the probability of each class. Raises ArtifactMismatch if the vectors
        come from a model with other heads or lack one of the readout's, and FitError if they contain NaN or
        infinity."""
        from savs.estimators.temperature import softmax

        return softmax(logits_of(self, DeviceLinear.of, vectors))

    def with_log_prior(self, log_ratio: Sequence[float]) -> "LinearReadout":
        """Return the readout for another prior; `log_ratio` float [classes] is log(new prior / old prior)."""
        import numpy as np

        return replace(
            self, intercept=(self.intercept + self.temperature * np.array(log_ratio)).astype(np.float32)
        )

    def save(self, path: str | Path) -> None:
        """Write the readout into one safetensors file at `path`, a local path or s3:// address; replace the
        file if there is one. Raises StorageError."""
        write_file(path, self.to_bytes())

    @staticmethod
    def load(path: str | Path) -> "LinearReadout":
        """Return the readout that `save` wrote to `path`, with the same values.

        Raises ArtifactNotFound, ArtifactError if the file is damaged or something else, and StorageError
        if it cannot be read.
        """
        return linear_of(read_file(path), str(path))

    def to_bytes(self) -> bytes:
        """Return the file that `save` writes."""
        said = LinearDescription(
            mode=self.mode,
            classes=self.classes,
            temperature=self.temperature,
            layout=layer_entries(self.layout),
        )
        return linear_to_bytes(self.heads, self.weights, self.intercept, said)


def linear_of(data: bytes, name: str) -> LinearReadout:
    """Return the readout in a file called `name`. Raises ArtifactError."""
    description, heads, weights, intercept = linear_from_bytes(data, name)
    return LinearReadout(
        mode=description.mode,
        classes=description.classes,
        heads=heads,
        weights=weights,
        intercept=intercept,
        temperature=description.temperature,
        layout=head_layout(description.layout),
    )


class _OnDevice(Protocol):
    def read(self, vectors: "torch.Tensor") -> "torch.Tensor": ...


class _Fitted(Protocol):
    @property
    def heads(self) -> "np.ndarray": ...
    @property
    def layout(self) -> HeadLayout: ...


Fitted = TypeVar("Fitted", bound=_Fitted)


def logits_of(
    readout: Fitted, device_of: Callable[[Fitted, HeadLayout], _OnDevice], vectors: HeadVectors
) -> "np.ndarray":
    """Return float64 [n, classes]: the logits by a readout, which `device_of` puts on a device. Raises
    ArtifactMismatch if the vectors come from a model with other heads or lack one of the readout's, and
    FitError if they contain NaN or infinity."""
    import numpy as np
    import torch

    if not vectors.layout.is_part_of(readout.layout):
        raise ArtifactMismatch(
            f"the vectors have {vectors.layout.counts}; the readout was fitted on {readout.layout.counts}"
        )
    if not np.isfinite(vectors.values).all():
        raise FitError("vectors with NaN or infinity cannot be classified")
    vectors.layout.check(readout.layout.part([(int(layer), int(head)) for layer, head in readout.heads]))
    values = device_of(readout, vectors.layout).read(
        torch.from_numpy(np.ascontiguousarray(vectors.values, np.float32))
    )
    logits: np.ndarray = values.double().numpy()
    return logits


@dataclass(frozen=True)
class Group:
    """The heads of one width: their ranks, their columns in the vectors [heads, width], and their weights
    [heads, width, classes]."""

    ranks: "torch.Tensor"
    columns: "torch.Tensor"
    weights: "torch.Tensor"


def groups_of(
    heads: "np.ndarray",
    weights: "np.ndarray",
    own: HeadLayout,
    layout: HeadLayout,
    device: "torch.device | str",
) -> tuple[Group, ...]:
    """Return the heads [k, 2] of a readout on `device`, for vectors of `layout`; the readout was fitted on
    vectors of layout `own`, and has weights [width of the heads, classes]. Raises KeyError if `layout` lacks
    a head."""
    import numpy as np
    import torch

    places, fitted = layout.slices(), own.slices()
    ranked = [(int(layer), int(head)) for layer, head in heads]
    sizes = [fitted[head].stop - fitted[head].start for head in ranked]
    ends = np.cumsum([0, *sizes])
    groups = []
    for width in sorted(set(sizes)):
        ranks = [rank for rank, size in enumerate(sizes) if size == width]
        columns = torch.tensor([[*range(places[ranked[r]].start, places[ranked[r]].stop)] for r in ranks])
        parts = torch.from_numpy(np.stack([weights[ends[r] : ends[r + 1]] for r in ranks]))
        groups.append(Group(torch.tensor(ranks).to(device), columns.to(device), parts.to(device)))
    return tuple(groups)


@dataclass(frozen=True)
class DeviceLinear:
    """A linear readout on a device, for vectors of a layout."""

    readout: LinearReadout
    groups: tuple[Group, ...]
    intercept: "torch.Tensor"

    @classmethod
    def of(
        cls, readout: LinearReadout, layout: HeadLayout, device: "torch.device | str" = "cpu"
    ) -> "DeviceLinear":
        """Return the readout on `device`. Raises KeyError if `layout` lacks one of its heads."""
        import numpy as np
        import torch

        scaled = readout.weights / np.float32(readout.temperature)
        groups = groups_of(readout.heads, scaled, readout.layout, layout, device)
        intercept = torch.from_numpy(readout.intercept / np.float32(readout.temperature))
        return cls(readout, groups, intercept.to(device))

    @property
    def width(self) -> int:
        """Values per item that `read` returns."""
        return len(self.readout.classes)

    def read(self, vectors: "torch.Tensor") -> "torch.Tensor":
        """Return float32 [n, classes]: logits of vectors float32 [n, layout.width] on the device."""
        import torch

        logits = self.intercept.expand(len(vectors), -1)
        for group in self.groups:
            unit = torch.nn.functional.normalize(vectors[:, group.columns].float(), dim=-1)
            logits = logits + unit.flatten(1) @ group.weights.flatten(0, 1)
        return logits

    def answers(self, values: "torch.Tensor") -> list[Answer]:
        """Return one answer per item from the logits that `read` returned."""
        from savs.estimators.temperature import softmax

        return [answer_of(self.readout.classes, row) for row in softmax(values.double().numpy()).tolist()]

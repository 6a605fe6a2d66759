"""Readouts with several labels per item: each label has a probability and a threshold of its own.

On the device a readout is one matrix product, that of `savs.readout.linear`.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from savs.engine.vectors import HeadVectors, metadata_of
from savs.errors import ArtifactError
from savs.model.heads import HeadLayout
from savs.readout.answer import MultiAnswer
from savs.readout.linear import DeviceLinear, LinearReadout, logits_of
from savs.readout.records import MULTI, LayerEntry, ManifestEntry, head_layout, layer_entries
from savs.readout.stored import MOST_LOGIT, check_map, read_file, write_file

if TYPE_CHECKING:
    import numpy as np
    import torch


@dataclass(frozen=True)
class MultiReadout:
    """A fitted readout with several labels per item: the probability of each label is
    sigmoid(slope · (x̂ · weights + intercept) + offset), where x̂ has each head's vector at length 1.

    mode         "multi"
    classes      the labels, in order of first appearance
    heads        int32 [k, 2]: (layer, head), the heaviest first
    weights      float32 [width of the heads, classes], head after head in that order
    intercept    float32 [classes]
    slopes       float32 [classes], not negative
    offsets      float32 [classes]
    thresholds   float32 [classes]: probability from which an item has the label; 0 to 1
    layout       of the head vectors used for fitting
    """

    mode: str
    classes: tuple[str, ...]
    heads: "np.ndarray"
    weights: "np.ndarray"
    intercept: "np.ndarray"
    slopes: "np.ndarray"
    offsets: "np.ndarray"
    thresholds: "np.ndarray"
    layout: HeadLayout

    def __repr__(self) -> str:
        return f"MultiReadout(classes: {len(self.classes)}, heads: {len(self.heads)} of {self.layout.counts})"

    @property
    def logits(self) -> LinearReadout:
        """The linear readout whose scores are the logits of the labels."""
        return LinearReadout(
            mode=self.mode,
            classes=self.classes,
            heads=self.heads,
            weights=self.weights * self.slopes,
            intercept=self.intercept * self.slopes + self.offsets,
            temperature=1.0,
            layout=self.layout,
        )

    def scores(self, vectors: HeadVectors) -> "np.ndarray":
        """Return float64 [n, classes]: the probability of each label. Raises ArtifactMismatch if the vectors
        come from a model with other heads or lack one of the readout's, and FitError if they contain NaN or
        infinity."""
        from savs.estimators.sigmoid import sigmoid

        return sigmoid(logits_of(self, DeviceMulti.of, vectors))

    def save(self, path: str | Path) -> None:
        """Write the readout into one safetensors file at `path`, a local path or s3:// address; replace the
        file if there is one. Raises StorageError."""
        write_file(path, self.to_bytes())

    @staticmethod
    def load(path: str | Path) -> "MultiReadout":
        """Return the readout that `save` wrote to `path`, with the same values.

        Raises ArtifactNotFound, ArtifactError if the file is damaged or something else, and StorageError
        if it cannot be read.
        """
        return multi_of(read_file(path), str(path))

    def to_bytes(self) -> bytes:
        """Return the file that `save` writes."""
        import numpy as np
        from safetensors.numpy import save

        tensors = {name: np.ascontiguousarray(getattr(self, name)) for name in TENSORS}
        said = MultiDescription(classes=self.classes, layout=layer_entries(self.layout))
        return save(tensors, {"readout": said.model_dump_json()})


class MultiDescription(ManifestEntry):
    """The parts of a readout with several labels per item that are not in tensors."""

    schema_version: Literal[3] = 3
    mode: Literal["multi"] = MULTI
    classes: Annotated[tuple[str, ...], Field(min_length=2)]
    layout: tuple[LayerEntry, ...]


TENSORS = ("heads", "weights", "intercept", "slopes", "offsets", "thresholds")
PER_LABEL = TENSORS[3:]


def multi_of(data: bytes, name: str) -> MultiReadout:
    """Return the readout in a file called `name`. Its logits are finite for all finite vectors. Raises
    ArtifactError, which quotes nothing of the file."""
    import numpy as np
    from safetensors import SafetensorError
    from safetensors.numpy import load

    try:
        said = MultiDescription.model_validate_json(metadata_of(data)["readout"])
        tensors = load(data)
        parts = {part: tensors[part] for part in TENSORS}
    except (SafetensorError, KeyError, ValueError, TypeError, RecursionError, OverflowError) as error:
        raise ArtifactError(
            f"{name} is not a readout of several labels per item, or it is damaged"
        ) from error
    check_map(parts, len(said.classes), said.layout, name)
    sound = all(
        parts[part].dtype == np.float32 and parts[part].shape == (len(said.classes),) for part in PER_LABEL
    )
    if sound:  # NaN is neither less nor more than anything
        slopes, offsets, thresholds = (parts[part].astype(np.float64) for part in PER_LABEL)
        most = np.abs(parts["weights"].astype(np.float64)).sum(0) + np.abs(parts["intercept"])
        sound = bool(
            (slopes >= 0).all()
            and (most * np.maximum(slopes, 1) + np.abs(offsets) < MOST_LOGIT).all()
            and ((thresholds >= 0) & (thresholds <= 1)).all()
        )
    if not sound:
        raise ArtifactError(f"{name} does not match its description")
    return MultiReadout(said.mode, said.classes, **parts, layout=head_layout(said.layout))


@dataclass(frozen=True)
class DeviceMulti:
    """A readout with several labels per item on a device, for vectors of a layout."""

    readout: MultiReadout
    linear: DeviceLinear

    @classmethod
    def of(
        cls, readout: MultiReadout, layout: HeadLayout, device: "torch.device | str" = "cpu"
    ) -> "DeviceMulti":
        """Return the readout on `device`. Raises KeyError if `layout` lacks one of its heads."""
        return cls(readout, DeviceLinear.of(readout.logits, layout, device))

    @property
    def width(self) -> int:
        """Values per item that `read` returns."""
        return self.linear.width

    def read(self, vectors: "torch.Tensor") -> "torch.Tensor":
        """Return float32 [n, classes]: logits of vectors float32 [n, layout.width] on the device."""
        return self.linear.read(vectors)

    def answers(self, values: "torch.Tensor") -> list[MultiAnswer]:
        """Return one answer per item from the logits that `read` returned."""
        from savs.estimators.sigmoid import sigmoid

        thresholds = self.readout.thresholds.tolist()
        return [
            multi_answer(self.readout.classes, thresholds, row)
            for row in sigmoid(values.double().numpy()).tolist()
        ]


def multi_answer(classes: tuple[str, ...], thresholds: list[float], row: list[float]) -> MultiAnswer:
    """Return the answer of probabilities in the order of the classes; equal ones stay in that order."""
    order = sorted(range(len(classes)), key=lambda number: -row[number])
    kept = tuple(classes[number] for number in order if row[number] >= thresholds[number])
    return MultiAnswer(kept, {classes[number]: row[number] for number in order})

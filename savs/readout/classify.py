"""Labels head vectors with a fitted readout."""

from typing import TYPE_CHECKING, overload

from savs.engine.vectors import HeadVectors
from savs.errors import ArtifactMismatch, FitError, UnfittableType
from savs.model.heads import HeadLayout
from savs.readout.answer import Answer, MultiAnswer
from savs.readout.answers import Answers
from savs.readout.decision import Rule
from savs.readout.fit import Readout, check_vectors
from savs.readout.hec import DeviceHec, HecReadout
from savs.readout.linear import DeviceLinear, LinearReadout
from savs.readout.multi import DeviceMulti, MultiReadout
from savs.readout.votes import DeviceReadout

if TYPE_CHECKING:
    import numpy as np
    import torch

OneLabel = Readout | LinearReadout | HecReadout  # readouts with one label per item
AnyReadout = OneLabel | MultiReadout
OnDevice = DeviceReadout | DeviceLinear | DeviceHec | DeviceMulti


@overload
def classify(readout: OneLabel, vectors: HeadVectors) -> Answers[Answer]: ...


@overload
def classify(readout: MultiReadout, vectors: HeadVectors) -> Answers[MultiAnswer]: ...


def classify(readout: AnyReadout, vectors: HeadVectors) -> Answers[Answer] | Answers[MultiAnswer]:
    """Return one answer per row of `vectors`; of a readout with several labels per item, a MultiAnswer. The
    list of answers is also a table: `answers.to_pandas()`.

    In a vote, of classes with equal votes the one named by the best-ranked head wins, as published. Raises
    ArtifactMismatch if the vectors come from a model with other heads or lack a head of the readout, and
    FitError if they are something else than HeadVectors or contain NaN or infinity (also a TypeError or a
    ValueError).
    """
    import numpy as np
    import torch

    if isinstance(readout, HeadVectors) and isinstance(vectors, AnyReadout):
        raise UnfittableType("readout and vectors are swapped; pass classify(readout, vectors)")
    check_vectors(vectors)
    if not isinstance(readout, AnyReadout):
        is_artifact = isinstance(getattr(readout, "readout", None), AnyReadout)
        pass_what = "its .readout" if is_artifact else "what fit returned"
        raise UnfittableType(f"readout is of type {type(readout).__name__}; pass {pass_what}")
    if not vectors.layout.is_part_of(readout.layout):
        raise ArtifactMismatch(
            f"the vectors have {len(vectors.layout.heads())} heads in {vectors.layout.width} values; "
            f"the readout was fitted on {len(readout.layout.heads())} heads in {readout.layout.width} values"
        )
    if not np.isfinite(vectors.values).all():
        raise FitError("vectors with NaN or infinity cannot be classified")
    device = on_device(readout, vectors.layout)
    return Answers(device.answers(device.read(torch.from_numpy(np.ascontiguousarray(vectors.values)))))


def on_device(readout: AnyReadout, layout: HeadLayout, device: "torch.device | str" = "cpu") -> OnDevice:
    """Return the readout on a device, for vectors of `layout`: `read` computes its `width` values per item on
    the device, and `answers` turns them into answers on the CPU. Raises ArtifactMismatch if `layout` lacks a
    head of the readout."""
    layout.check(readout.layout.part([(int(layer), int(head)) for layer, head in readout.heads]))
    if isinstance(readout, MultiReadout):
        return DeviceMulti.of(readout, layout, device)
    if isinstance(readout, LinearReadout):
        return DeviceLinear.of(readout, layout, device)
    if isinstance(readout, HecReadout):
        return DeviceHec.of(readout, layout, device)
    return DeviceReadout.of(readout, layout, device)


def values_of(readout: AnyReadout, vectors: HeadVectors) -> "np.ndarray":
    """Return what the readout's `read` computes of n vectors, float32 [n, its width]: of a linear readout the
    logits of the classes."""
    import numpy as np
    import torch

    device = on_device(readout, vectors.layout)
    values: np.ndarray = device.read(torch.from_numpy(np.ascontiguousarray(vectors.values))).numpy()
    return values


def with_rule(readout: AnyReadout, rule: Rule) -> AnyReadout:
    """Return the readout under the prior of a rule. A vote, and one with several labels per item, stay."""
    if rule.log_ratio is None or isinstance(readout, Readout | MultiReadout):
        return readout
    return readout.with_log_prior(rule.log_ratio)

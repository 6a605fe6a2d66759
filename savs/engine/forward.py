"""Runs one forward pass per batch and returns only the head vectors at each prompt's last token.

No logits are computed and no key/value cache is kept.
"""

from collections.abc import Collection, Sequence
from contextlib import ExitStack, suppress
from threading import Lock, get_ident
from typing import TYPE_CHECKING, Any

from savs.engine.prompts import Processed
from savs.errors import UnsupportedModel
from savs.layers.branches import branching
from savs.model.grids import grids_on_cpu
from savs.model.heads import HeadProjection, LayerHeads
from savs.model.model import Model
from savs.model.raw_pixels import RawPixels
from savs.timings import Marks

if TYPE_CHECKING:
    import numpy as np
    import torch

    from savs.engine.batches import Batch

# PyTorch counts hooks without a lock: two threads may get the same number, and one hook replaces the other.
REGISTERING = Lock()


def read_heads(model: Model, batch: Processed) -> "np.ndarray":
    """Return float32 [n, layout.width]: every head's vector at the last token of every prompt.

    A head vector is the head's slice of the input of the attention output projection
    (arXiv 2412.00142, section 3).
    """
    import torch

    last = torch.tensor(batch.lengths) - 1
    with torch.inference_mode():
        inputs = onto_device(model, batch.inputs)
        places = _Places(torch.arange(len(last)), last, model.device)
        read = _forward(model, inputs, places, model.projections)
    return torch.cat([r.to("cpu", torch.float32) for r in read], dim=1).numpy()


def read_vectors(
    model: Model, batch: "Batch", layers: Collection[int] | None = None, marks: Marks | None = None
) -> "torch.Tensor":
    """Return float32 [n, width] on the model's device: the head vectors of the batch's n prompts.

    layers  the layers that are read; layers above the last of them are not run. None for all. The
            width is that of `model.layout.only(layers)`
    marks   record the ends of `copy`, `vision` and `language`
    """
    import torch

    marks = marks or Marks(model.device)
    wanted = [p for p in model.projections if layers is None or p.heads.layer in layers]
    with torch.inference_mode():
        inputs = onto_device(model, batch.inputs)
        branches = batch.branches.to(model.device) if batch.branches is not None else None
        if branches is not None:
            inputs["attention_mask"] = branches.as_mask(model.device)
        places = _Places(torch.tensor(batch.lines), torch.tensor(batch.ends), model.device)
        marks.end("copy")
        with branching(branches):
            read = _forward(model, inputs, places, wanted, marks)
        vectors = torch.cat([r.to(model.device, torch.float32) for r in read], dim=1)
        marks.end("language")
        return vectors


class _Places:
    """Which tokens of a batch are read, on each device that has layers.

    lines  int64 [n], the row of each
    ends   int64 [n], its place there
    """

    def __init__(self, lines: "torch.Tensor", ends: "torch.Tensor", device: "torch.device") -> None:
        if device.type == "cuda":  # a copy from other memory makes the device wait for it, and for all before
            lines, ends = lines.pin_memory(), ends.pin_memory()
        self.here = lines, ends
        self.moved: dict[torch.device, tuple[torch.Tensor, torch.Tensor]] = {}
        self.on(device)

    def on(self, device: "torch.device") -> "tuple[torch.Tensor, torch.Tensor]":
        """Return both on a device, to which they are copied once."""
        if device not in self.moved:
            lines, ends = self.here
            self.moved[device] = lines.to(device, non_blocking=True), ends.to(device, non_blocking=True)
        return self.moved[device]


class _Enough(Exception):
    """Raised inside a forward pass to end it once all vectors are read."""


def _forward(
    model: Model,
    inputs: dict[str, Any],
    places: _Places,
    wanted: Sequence[HeadProjection],
    marks: Marks | None = None,
) -> "list[torch.Tensor]":
    """Return the input [n, width] of each projection in `wanted` at `places`. The pass ends after the last
    of these projections. Other threads may use the model too."""
    rows, thread = inputs["input_ids"].shape[0], get_ident()
    read: list[torch.Tensor | None] = [None] * len(wanted)

    def keep(number: int) -> Any:
        def hook(module: Any, arguments: "tuple[torch.Tensor, ...]") -> None:
            if get_ident() != thread:
                return  # the pass of another thread
            hidden = arguments[0]
            _check_width(model, wanted[number].heads, hidden.shape[-1])
            hidden = hidden.reshape(rows, -1, hidden.shape[-1])
            read[number] = hidden[places.on(hidden.device)]
            if all(one is not None for one in read):
                raise _Enough

        return hook

    def mark(*_: Any) -> None:
        if get_ident() == thread and marks is not None:
            marks.end("vision")

    with ExitStack() as hooks:
        with REGISTERING:
            for number, projection in enumerate(wanted):
                hooks.callback(projection.module.register_forward_pre_hook(keep(number)).remove)
            if marks is not None:
                hooks.callback(model.network.get_decoder().register_forward_pre_hook(mark).remove)
        with suppress(_Enough):
            without_head(model.network)(**inputs, use_cache=False)
    passed = [r for r in read if r is not None]
    if len(passed) < len(read):
        silent = [p.heads.layer for p, r in zip(wanted, read, strict=True) if r is None]
        raise UnsupportedModel(f"{model.name}: a forward pass did not run the heads of layers {silent}")
    return passed


def _check_width(model: Model, heads: LayerHeads, width: int) -> None:
    if width != heads.width:
        raise UnsupportedModel(
            f"{type(model.network).__name__}: layer {heads.layer}: expected {heads.width} values from all "
            f"heads, found {width}"
        )


def without_head(network: Any) -> Any:
    """Return the network without its language-model head."""
    base = network.base_model
    return base if base is not network else network


def onto_device(model: Model, inputs: dict[str, Any]) -> dict[str, Any]:
    """Return a batch's inputs on the model's device, except those that nothing reads there; floating-point
    tensors in the model's dtype, and raw pixels normalised."""
    stay = grids_on_cpu(inputs)
    return {name: value if name in stay else onto(value, model) for name, value in inputs.items()}


def onto(value: Any, model: Model) -> Any:
    """Return a tensor on the model's device, floating point in the model's dtype; other values unchanged."""
    import torch

    if isinstance(value, RawPixels):
        return value.on(model.device, model.network.dtype)
    if not isinstance(value, torch.Tensor):
        return value
    dtype = model.network.dtype if value.is_floating_point() else value.dtype
    return value.to(model.device, dtype, non_blocking=True)

"""One forward pass per batch, and only the last token's head vectors leave it.

No logits are computed and no key/value cache is kept.
"""

from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from savs.errors import UnsupportedModel
from savs.heads import HeadLayout
from savs.models import Model
from savs.prompts import Batch

if TYPE_CHECKING:
    import numpy as np
    import torch


@dataclass(frozen=True)
class HeadVectors:
    """Head vectors of n items: `values` float32 [n, layout.width], divided as `layout` says."""

    layout: HeadLayout
    values: "np.ndarray"

    def __len__(self) -> int:
        return len(self.values)


def read_heads(model: Model, batch: Batch) -> "np.ndarray":
    """float32 [n, layout.width]: every head's vector at the last token of every prompt.

    A head vector is the head's slice of the input of the attention output projection
    (arXiv 2412.00142, section 3).
    """
    import torch

    last = torch.tensor(batch.lengths) - 1
    with torch.inference_mode():
        read = _forward(model, onto_device(model, batch), last)
    return torch.cat([r.to("cpu", torch.float32) for r in read], dim=1).numpy()


def _forward(model: Model, inputs: dict[str, Any], last: "torch.Tensor") -> "list[torch.Tensor]":
    """Per projection, its input [n, width] at the token numbers `last` [n]."""
    import torch

    read: list[torch.Tensor | None] = [None] * len(model.projections)
    rows = torch.arange(len(last))

    def keep(number: int) -> Any:
        def hook(module: Any, arguments: tuple[torch.Tensor, ...]) -> None:
            hidden = arguments[0]
            _check_width(model, number, hidden.shape[-1])
            hidden = hidden.reshape(len(last), -1, hidden.shape[-1])
            read[number] = hidden[rows.to(hidden.device), last.to(hidden.device)]

        return hook

    with ExitStack() as hooks:
        for number, projection in enumerate(model.projections):
            hooks.callback(projection.module.register_forward_pre_hook(keep(number)).remove)
        without_head(model.network)(**inputs, use_cache=False)
    passed = [r for r in read if r is not None]
    if len(passed) < len(read):
        silent = [p.heads.layer for p, r in zip(model.projections, read, strict=True) if r is None]
        raise UnsupportedModel(f"{model.name}: nothing passed the heads of layers {silent}")
    return passed


def _check_width(model: Model, number: int, width: int) -> None:
    heads = model.projections[number].heads
    if width != heads.width:
        raise UnsupportedModel(
            f"{type(model.network).__name__}: layer {heads.layer} was found to be {heads.width} wide and is "
            f"{width}"
        )


def without_head(network: Any) -> Any:
    """The part of a network that ends before the language-model head."""
    base = network.base_model
    return base if base is not network else network


def onto_device(model: Model, batch: Batch) -> dict[str, Any]:
    """The batch's inputs where the model takes them; numbers with a point in its own type."""
    return {name: _onto(value, model.device, model.network.dtype) for name, value in batch.inputs.items()}


def _onto(value: Any, device: "torch.device", dtype: "torch.dtype") -> Any:
    import torch

    if not isinstance(value, torch.Tensor):
        return value
    return value.to(device, dtype) if value.is_floating_point() else value.to(device)

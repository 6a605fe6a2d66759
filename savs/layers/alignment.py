"""Pads the inner width of gated activations so that a GPU multiplies at full speed.

A GPU's matrix units read 16 bytes at a time. Qwen2.5-VL's vision tower has an inner width of 3,420, which is
no multiple of 8 values in half precision: its products take 2.6 times as long as those of a width of 3,456
(`bench.gpu`, step `products`, on an H100). The added values are zeros before and behind the activation, so
results are the same but for rounding.
"""

from typing import Any

GATED = {"gate_proj", "up_proj", "down_proj", "act_fn"}  # the parts of a gated activation
ALIGNED = 8  # values of 2 bytes that are read at once
MULTIPLE = 64  # values to whose next multiple a width is padded: the least tile of a product


def align_inner_widths(network: Any) -> int:
    """Pad the inner width of every gated activation of `network` that is not aligned; return how many there
    are."""
    from torch import nn

    found = 0
    for module in network.modules():
        if set(dict(module.named_children())) != GATED:
            continue
        parts = (module.gate_proj, module.up_proj, module.down_proj)
        width = parts[0].out_features if all(type(part) is nn.Linear for part in parts) else 0
        if width % ALIGNED and width == parts[1].out_features == parts[2].in_features:
            more = -width % MULTIPLE
            for part in parts[:2]:
                _pad(part, rows=more)
            _pad(parts[2], columns=more)
            found += 1
    return found


def _pad(linear: Any, rows: int = 0, columns: int = 0) -> None:
    from torch import nn

    def padded(parameter: Any, *amounts: int) -> Any:
        return nn.Parameter(nn.functional.pad(parameter.data, amounts), requires_grad=False)

    linear.weight = padded(linear.weight, 0, columns, 0, rows)
    if linear.bias is not None and rows:
        linear.bias = padded(linear.bias, 0, rows)
    linear.out_features += rows
    linear.in_features += columns

"""A vision tower's patch embedding as a matrix product.

Qwen2-VL's tower and later ones receive single patches, each as large as the kernel of the convolution
that embeds it. PyTorch is slow at such a convolution, especially in three dimensions; the same sum is
one matrix product.
"""

import math
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch


def embed_by_product(network: Any) -> int:
    """Make every convolution of `network` whose patches do not overlap embed single patches by a matrix
    product. Other inputs are handled as before. Return how many there are."""
    from torch import nn

    found = 0
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.Conv3d) and _is_embedding(module):
            module.forward = _embed(module)  # type: ignore[method-assign]
            found += 1
    return found


def _is_embedding(convolution: Any) -> bool:
    return bool(
        convolution.kernel_size == convolution.stride
        and convolution.groups == 1
        and set(convolution.dilation) == {1}
        and convolution.padding in ("valid", (0,) * len(convolution.kernel_size))
    )


def _embed(convolution: Any) -> Any:
    from torch.nn.functional import linear

    one, many = convolution.kernel_size, convolution.forward
    size = convolution.in_channels * math.prod(one)

    def forward(patches: "torch.Tensor") -> "torch.Tensor":
        """[n, channels, *kernel] in, [n, width, 1, 1(, 1)] out."""
        if tuple(patches.shape[2:]) != one or patches.ndim != len(one) + 2:
            whole: torch.Tensor = many(patches)
            return whole
        weight = convolution.weight.view(-1, size)
        return linear(patches.reshape(-1, size), weight, convolution.bias)[(..., *[None] * len(one))]

    return forward

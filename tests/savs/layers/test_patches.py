"""Patch embeddings as products of matrices: the same numbers, and only where they are the same."""

import pytest
import torch
from torch import nn

from savs.layers.patches import embed_by_product


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize(
    ("kind", "kernel"), [(nn.Conv3d, (2, 14, 14)), (nn.Conv2d, (14, 14)), (nn.Conv2d, (4, 8))]
)
def test_single_patches_are_embedded_as_the_convolution_does(
    kind: type[nn.Conv2d | nn.Conv3d], kernel: tuple[int, ...], bias: bool
) -> None:
    torch.manual_seed(1)
    convolution = kind(3, 16, kernel_size=kernel, stride=kernel, bias=bias)
    patches = torch.randn(5, 3, *kernel)
    before = convolution(patches)

    assert embed_by_product(nn.Sequential(convolution)) == 1
    after = convolution(patches)

    assert after.shape == before.shape
    assert torch.allclose(after, before, atol=1e-5)


def test_a_whole_picture_goes_through_the_convolution_itself() -> None:
    convolution = nn.Conv2d(3, 8, kernel_size=4, stride=4)
    picture = torch.randn(2, 3, 12, 8)
    before = convolution(picture)

    embed_by_product(convolution)

    assert torch.equal(convolution(picture), before)


@pytest.mark.parametrize(
    "other",
    [
        {"kernel_size": 4, "stride": 2},
        {"kernel_size": 4, "stride": 4, "padding": 1},
        {"kernel_size": 4, "stride": 4, "dilation": 2},
        {"kernel_size": 4, "stride": 4, "groups": 3},
    ],
)
def test_convolutions_whose_patches_overlap_or_are_padded_are_left_alone(other: dict[str, int]) -> None:
    assert embed_by_product(nn.Conv2d(3, 6, **other)) == 0  # type: ignore[arg-type]

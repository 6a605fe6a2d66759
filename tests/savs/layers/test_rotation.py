"""The kernel for a GPU rotates as transformers does. Triton's interpreter runs it on a CPU."""

import pytest
import torch
from transformers.models.qwen2_5_vl import modeling_qwen2_5_vl as qwen

from savs.layers.rotation import rotate

DTYPES = (torch.float32, torch.float16, torch.bfloat16)


def close(found: torch.Tensor, expected: torch.Tensor) -> bool:
    """Equal but for one rounding, and as contiguous."""
    error = (found.double() - expected.double()).norm() / expected.double().norm()
    same = found.shape == expected.shape and found.dtype == expected.dtype
    return same and bool(error <= torch.finfo(expected.dtype).eps)


@pytest.fixture(autouse=True)
def seed() -> None:
    torch.manual_seed(2357)


@pytest.mark.parametrize("dtype", DTYPES)
def test_patches_of_a_vision_tower_are_rotated(dtype: torch.dtype) -> None:
    # given query and key as views of one projection, with angles in float32
    query, key, _ = torch.randn(7, 3, 5, 40).to(dtype).permute(1, 0, 2, 3).unbind(0)
    angles = 10 * torch.randn(7, 40)

    found = rotate(query, key, angles.cos(), angles.sin())

    expected = qwen.apply_rotary_pos_emb_vision(query, key, angles.cos(), angles.sin())
    assert all(map(close, found, expected))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("rows", [1, 2])  # of angles: one for all rows of tokens, or one for each
def test_tokens_of_a_decoder_are_rotated(dtype: torch.dtype, rows: int) -> None:
    query, key = (torch.randn(2, 9, heads, 16).to(dtype).transpose(1, 2) for heads in (6, 2))
    angles = 10 * torch.randn(rows, 9, 16)
    given = query, key, angles.cos().to(dtype), angles.sin().to(dtype)

    found, expected = rotate(*given), qwen.apply_rotary_pos_emb(*given)

    if dtype == torch.float32:
        assert all(map(close, found, expected))
    # Several kernels round three times: one is closer to the exact result.
    exact = qwen.apply_rotary_pos_emb(*(one.double() for one in given))
    assert all(close(one, other.to(dtype)) for one, other in zip(found, exact, strict=True))


@pytest.mark.parametrize(
    ("query", "angles"),
    [
        ((2, 4, 9, 16), (3, 9, 16)),
        ((2, 4, 9, 16), (1, 8, 16)),
        ((2, 4, 9, 16), (1, 9, 8)),
        ((2, 4, 9, 15), (1, 9, 15)),
    ],
)
def test_angles_of_another_shape_are_refused(query: tuple[int, ...], angles: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"no rotation of \[2, 4, 9"):
        rotate(torch.randn(query), torch.randn(query), torch.randn(angles), torch.randn(angles))

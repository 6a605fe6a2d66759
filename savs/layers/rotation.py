"""A rotation of positions as one kernel for a GPU, in Triton.

It reads its inputs once and writes its output once. The arithmetic is in float32, whatever the dtype.
"""

from typing import TYPE_CHECKING, Any

import triton
import triton.language as tl

if TYPE_CHECKING:
    import torch


def rotate(
    query: "torch.Tensor", key: "torch.Tensor", cosines: "torch.Tensor", sines: "torch.Tensor"
) -> "tuple[torch.Tensor, torch.Tensor]":
    """Return query and key, rotated: x · cos + (−second half of x, first half of x) · sin.

    query, key      [rows, heads, tokens, width] or [tokens, heads, width]; the number of heads may differ
    cosines, sines  [rows or 1, tokens, width] or [tokens, width]

    Raises ValueError for other shapes.
    """
    return _rotated(query, cosines, sines), _rotated(key, cosines, sines)


def _rotated(given: "torch.Tensor", cosines: "torch.Tensor", sines: "torch.Tensor") -> "torch.Tensor":
    import torch

    out = torch.empty_like(given)
    if given.ndim == 3:
        view, target = (one.transpose(0, 1)[None] for one in (given, out))
        cosines, sines = cosines[None], sines[None]
    else:
        view, target = given, out
    rows, heads, tokens, width = view.shape
    fits = cosines.shape == sines.shape and cosines.shape[1:] == (tokens, width)
    if not fits or cosines.shape[0] not in (1, rows) or width % 2:
        raise ValueError(f"no rotation of {list(given.shape)} by {list(cosines.shape)}")
    if {view.stride(3), cosines.stride(2), sines.stride(2)} != {1} or cosines.stride() != sines.stride():
        raise ValueError("values of a head are not beside each other")
    of_row = cosines.stride(0) if cosines.shape[0] == rows else 0
    place: Any = torch.cuda.device_of  # without types
    with place(given):  # Triton takes the current GPU, wherever the values are
        _rotate[(rows * tokens,)](
            *(view, cosines, sines, target, tokens),
            *(*view.stride()[:3], *target.stride()[:3], of_row, cosines.stride(1)),
            heads=heads,
            half=width // 2,
            all_heads=triton.next_power_of_2(heads),
            all_half=triton.next_power_of_2(width // 2),
            num_warps=4,
        )
    return out


@triton.jit(do_not_specialize=["tokens", "given_row", "out_row", "angle_row"])
def _rotate(  # type: ignore[no-untyped-def]
    given,
    cosines,
    sines,
    out,
    tokens,
    given_row,
    given_head,
    given_token,
    out_row,
    out_head,
    out_token,
    angle_row,
    angle_token,
    heads: tl.constexpr,
    half: tl.constexpr,
    all_heads: tl.constexpr,
    all_half: tl.constexpr,
):
    """One token: all heads of it, in two halves."""
    number = tl.program_id(0).to(tl.int64)
    row, token = number // tokens, number % tokens
    head, place = tl.arange(0, all_heads)[:, None], tl.arange(0, all_half)[None, :]
    inside = (head < heads) & (place < half)
    source = given + row * given_row + token * given_token + head * given_head + place
    first = tl.load(source, mask=inside, other=0.0).to(tl.float32)
    second = tl.load(source + half, mask=inside, other=0.0).to(tl.float32)
    angle = row * angle_row + token * angle_token + place
    here = place < half
    cosine_first = tl.load(cosines + angle, mask=here, other=0.0).to(tl.float32)
    cosine_second = tl.load(cosines + angle + half, mask=here, other=0.0).to(tl.float32)
    sine_first = tl.load(sines + angle, mask=here, other=0.0).to(tl.float32)
    sine_second = tl.load(sines + angle + half, mask=here, other=0.0).to(tl.float32)
    target = out + row * out_row + token * out_token + head * out_head + place
    kind = out.dtype.element_ty
    tl.store(target, (first * cosine_first - second * sine_first).to(kind), mask=inside)
    tl.store(target + half, (second * cosine_second + first * sine_second).to(kind), mask=inside)

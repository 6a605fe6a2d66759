"""Attention for vision towers that receive many images as one long sequence, cut into chunks.

Such a tower (Qwen2-VL's and later ones) attends only within a chunk: an image, or a window of it.
If FlashAttention is not installed, transformers computes the chunks one after another, in thousands
of small kernels. Here one call computes all chunks of one length, on a CPU those of them that are neighbours;
on a GPU in half precision one call computes all chunks, with PyTorch's own variable-length attention. The
attention is the same.
"""

import inspect
import itertools
import logging
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

log = logging.getLogger("savs.attention")
TOLD = set[int]()  # widths of heads of which the log says that they are slower

# The name makes transformers pass all chunks at once, with their borders (it searches for "flash").
NAME = "savs_flash_chunks"


def attend_in_chunks(network: Any) -> int:
    """Make every attention of `network` that takes chunks (`cu_seqlens`) use `attend`; return how many."""
    from transformers import AttentionInterface

    AttentionInterface.register(NAME, attend)
    found = 0
    for module in network.modules():
        taken = inspect.signature(module.forward).parameters
        config = getattr(module, "config", None)
        if "cu_seqlens" in taken and hasattr(module, "scaling") and config is not None:
            if config._attn_implementation == "sdpa":
                config._attn_implementation = NAME
            found += config._attn_implementation == NAME
    return found


def attend(
    module: Any,
    query: "torch.Tensor",
    key: "torch.Tensor",
    value: "torch.Tensor",
    attention_mask: "torch.Tensor | None" = None,
    *,
    cu_seq_lens_q: "torch.Tensor",
    max_length_q: int,
    scaling: float | None = None,
    **_: Any,
) -> "tuple[torch.Tensor, None]":
    """An attention with the interface of transformers: query, key, value [1, heads, n, width] in,
    [1, n, heads, width] out. `cu_seq_lens_q` int32 [chunks + 1] has the chunks' borders in n."""
    import torch

    if query.is_cuda and query.dtype in (torch.float16, torch.bfloat16):
        joined = _joined(query, key, value, cu_seq_lens_q, max_length_q, scaling)
        if joined is not None:
            return joined[None], None
    lengths = [end - start for start, end in itertools.pairwise(cu_seq_lens_q.tolist())]
    several = query.is_cuda and len(set(lengths)) > 1
    found = (_by_length if several else _in_turn)((query, key, value), lengths, scaling)
    return found[None], None


def _joined(
    query: "torch.Tensor",
    key: "torch.Tensor",
    value: "torch.Tensor",
    borders: "torch.Tensor",
    longest: int,
    scaling: float | None,
) -> "torch.Tensor | None":
    """[n, heads, width], all chunks in one call; None if the GPU or the head width is not supported."""
    import torch
    from torch.nn.attention.varlen import varlen_attn

    q, k, v = (tensor[0].transpose(0, 1) for tensor in (query, key, value))
    borders = borders.to(torch.int32)
    try:
        joined = varlen_attn(q, k, v, borders, borders, int(longest), int(longest), scale=scaling)
    except torch.OutOfMemoryError:
        raise
    except (RuntimeError, ValueError) as error:
        if query.shape[-1] not in TOLD:
            TOLD.add(query.shape[-1])
            log.warning("vision attention runs chunk length by chunk length, which is slower: %s", error)
        return None
    assert isinstance(joined, torch.Tensor)
    return joined


def _by_length(
    states: "tuple[torch.Tensor, torch.Tensor, torch.Tensor]", lengths: list[int], scaling: float | None
) -> "torch.Tensor":
    """[n, heads, width], all chunks of one length in one call, wherever they are. On a CPU the copies that
    this needs take longer than the calls."""
    import torch

    sizes = torch.tensor(lengths)
    places = sizes.repeat_interleave(sizes).argsort(stable=True).to(states[0].device)
    query, key, value = (tensor.index_select(2, places) for tensor in states)
    found = _in_turn((query, key, value), sorted(lengths), scaling)
    return torch.empty_like(found).index_copy_(0, places, found)


def _in_turn(
    states: "tuple[torch.Tensor, torch.Tensor, torch.Tensor]", lengths: list[int], scaling: float | None
) -> "torch.Tensor":
    """[n, heads, width], neighbours of one length in one call: nothing is gathered or copied."""
    import torch

    runs = [(length, len(list(alike))) for length, alike in itertools.groupby(lengths)]
    sizes = [length * count for length, count in runs]
    parts = [torch.split(tensor[0].transpose(0, 1), sizes) for tensor in states]
    found = []
    for (length, count), *these in zip(runs, *parts, strict=True):
        q, k, v = (part.unflatten(0, (count, length)).transpose(1, 2) for part in these)
        out = torch.nn.functional.scaled_dot_product_attention(q, k, v, scale=scaling)
        found.append(out.transpose(1, 2).flatten(0, 1))
    return torch.cat(found) if len(found) > 1 else found[0]

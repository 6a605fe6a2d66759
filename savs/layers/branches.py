"""Attention for rows that branch: a common beginning, then ends that see it and themselves.

A mask over the whole row would have the same effect, at a cost that grows with the square of the row's
length: the ends of fifteen questions are most of a row, and each sees a fifteenth of it. Here one causal
call handles the beginnings, and another the ends, each with its own tokens and a copy of its beginning's
keys and values.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

MARK = (1, 1, 1, 1)  # the shape of a placeholder mask, which stands for the branches of the pass
KEYS = 2**18  # tokens whose keys and values are copied at once: half a GiB of Qwen2.5-VL-7B's


@dataclass(frozen=True)
class Branches:
    """The positions of the parts of some rows.

    beginning  tokens of the longest beginning
    lines      int64 [ends], the row of each end
    places     int64 [ends, longest], positions of its tokens in that row; arbitrary beyond its length
    used       int64 [tokens of all ends], which of those ends × longest are tokens of an end
    mask       bool [ends, 1, longest, beginning + longest], which tokens each one sees
    """

    beginning: int
    lines: "torch.Tensor"
    places: "torch.Tensor"
    used: "torch.Tensor"
    mask: "torch.Tensor"

    @classmethod
    def of(cls, rows: Sequence[tuple[int, Sequence[int]]]) -> "Branches":
        """Build from rows given as (tokens of the beginning, tokens of each end), in their order."""
        import torch

        lines = torch.tensor([line for line, (_, ends) in enumerate(rows) for _ in ends])
        first = torch.tensor([begin for begin, ends in rows for _ in ends])
        sizes = torch.tensor([size for _, ends in rows for size in ends])
        starts = torch.cat([begin + torch.tensor([0, *ends[:-1]]).cumsum(0) for begin, ends in rows])
        beginning, step = int(first.max()), torch.arange(int(sizes.max()))
        own = step < sizes[:, None]
        seen = torch.arange(beginning) < first[:, None]
        causal = own[:, None, :] & (step <= step[:, None])
        mask = torch.cat([seen[:, None, :].expand(-1, len(step), -1), causal], dim=2)
        # A padding token sees itself; otherwise its row of the softmax would be empty.
        mask[:, :, beginning:] |= torch.eye(len(step), dtype=torch.bool)
        places = starts[:, None] + step.minimum(sizes[:, None] - 1)
        return cls(beginning, lines, places, own.flatten().nonzero()[:, 0], mask[:, None])

    def some(self, ends: slice) -> "Branches":
        """Only these ends; `used` remains that of all ends."""
        return replace(self, lines=self.lines[ends], places=self.places[ends], mask=self.mask[ends])

    def to(self, device: "torch.device") -> "Branches":
        """The same on a device; this object if it is there."""
        if self.lines.device == device:
            return self
        parts = (self.lines, self.places, self.used, self.mask)
        return Branches(self.beginning, *(part.to(device, non_blocking=True) for part in parts))

    def pinned(self) -> "Branches":
        """The same in memory from which a GPU copies without waiting."""
        parts = (self.lines, self.places, self.used, self.mask)
        return Branches(self.beginning, *(part.pin_memory() for part in parts))

    @cached_property
    def targets(self) -> "tuple[torch.Tensor, torch.Tensor]":
        """Row and position of each token of an end, int64 [tokens of all ends]; the same in all layers."""
        return self.lines[self.used // self.places.shape[1]], self.places.flatten()[self.used]

    def as_mask(self, device: "torch.device") -> "torch.Tensor":
        """The placeholder mask that a network passes on to `attend`: bool of the shape MARK."""
        import torch

        return torch.ones(MARK, dtype=torch.bool, device=device)


_passing: "ContextVar[Branches | None]" = ContextVar("branches", default=None)


@contextmanager
def branching(branches: Branches | None) -> Iterator[None]:
    """In this block a network's rows branch as in `branches`, in every attention that gets its mask."""
    token = _passing.set(branches)
    try:
        yield
    finally:
        _passing.reset(token)


def attend_in_branches() -> None:
    """Make transformers' attention over PyTorch's `scaled_dot_product_attention` support rows that
    branch; all other rows are computed as before."""
    from transformers import AttentionInterface

    AttentionInterface.register("sdpa", attend)


def attend(
    module: Any,
    query: "torch.Tensor",
    key: "torch.Tensor",
    value: "torch.Tensor",
    attention_mask: "torch.Tensor | None" = None,
    **options: Any,
) -> "tuple[torch.Tensor, None]":
    """An attention with the interface of transformers: query [rows, heads, n, width] and key, value
    [rows, fewer heads, n, width] in, [rows, n, heads, width] out. Raises NotImplementedError if rows
    branch and the attention has a position bias, sinks or a soft cap."""
    from transformers.integrations.sdpa_attention import sdpa_attention_forward

    plain: Any = sdpa_attention_forward
    branches = _passing.get()
    if branches is None or attention_mask is None or attention_mask.shape != MARK:
        whole: torch.Tensor = plain(module, query, key, value, attention_mask, **options)[0]
        return whole, None
    if any(options.get(name) is not None for name in ("position_bias", "s_aux", "softcap")):
        raise NotImplementedError("rows that branch do not support position_bias, s_aux or softcap")
    branches = branches.to(query.device)  # layers may be on several devices
    begin, scaling = branches.beginning, options.get("scaling")
    out = query.new_zeros(*query.transpose(1, 2).shape[:3], value.shape[-1])
    first = (tensor[:, :, :begin] for tensor in (query, key, value))
    out[:, :begin] = plain(module, *first, None, scaling=scaling, is_causal=True)[0]
    ends = _of_ends(query, key, value, branches, scaling)
    out[branches.targets] = ends[branches.used]
    return out, None


def _of_ends(
    query: "torch.Tensor",
    key: "torch.Tensor",
    value: "torch.Tensor",
    branches: Branches,
    scaling: float | None,
) -> "torch.Tensor":
    """The output for all ends, [ends × longest, heads, width], computed some ends at a time."""
    import torch

    ends, longest = branches.places.shape
    step = max(1, KEYS // (branches.beginning + longest))
    parts = [branches.some(slice(at, at + step)) for at in range(0, ends, step)]
    return torch.cat([_of_some(query, key, value, part, scaling).flatten(0, 1) for part in parts])


def _of_some(
    query: "torch.Tensor",
    key: "torch.Tensor",
    value: "torch.Tensor",
    branches: Branches,
    scaling: float | None,
) -> "torch.Tensor":
    """The output for these ends, [ends, longest, heads, width]. Query heads that share a key head are
    placed one after the other, as tokens, so that no key is copied for them."""
    import torch

    lines, places = branches.lines, branches.places

    def own(tensor: torch.Tensor) -> torch.Tensor:
        """[ends, longest, heads, width]"""
        return tensor.transpose(1, 2)[lines[:, None], places]

    ends, longest = places.shape
    heads, groups = query.shape[1], key.shape[1]
    together = heads // groups
    asked = own(query).reshape(ends, longest, groups, together, -1).permute(0, 2, 3, 1, 4).flatten(2, 3)
    keys, values = (
        torch.cat([tensor[lines, :, : branches.beginning], own(tensor).transpose(1, 2)], dim=2)
        for tensor in (key, value)
    )
    mask = branches.mask.repeat(1, 1, together, 1)
    found = torch.nn.functional.scaled_dot_product_attention(
        asked, keys, values, attn_mask=mask, scale=scaling
    )
    return found.reshape(ends, groups, together, longest, -1).permute(0, 3, 1, 2, 4).flatten(2, 3)

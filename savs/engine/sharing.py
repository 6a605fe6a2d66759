"""Joins several questions about the same media into one row, so that the model processes the media once.

A row is the beginning that the prompts have in common (the template and the media), then the end of each
question's prompt, one after the other. An end attends only to the beginning and to itself, and its
positions continue from the beginning; so the head vectors at its last token are those of the prompt
alone. The towers encode the media once, the language model processes the beginning once, and no key/value
cache is copied for each question.

This is exact for causal decoders that use the given mask and positions. It is tested when a model is
loaded (`savs.engine.sharing_trial`); if the test fails, each question gets its own row.
"""

import inspect
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from savs.model.branches import Branches

if TYPE_CHECKING:
    import torch

    from savs.model.model import Model


MEDIA_TOKENS = ("image_token_id", "video_token_id", "audio_token_id")


@dataclass(frozen=True)
class JoinedRow:
    """A row's tokens: the common beginning, and the ends of its questions."""

    beginning: list[int]
    ends: list[list[int]]

    def __len__(self) -> int:
        return len(self.beginning) + sum(map(len, self.ends))


def join(expanded: list[int], prompts: Sequence[list[int]], media: frozenset[int]) -> JoinedRow | None:
    """Return the row of some prompts about the same media, or None if they do not share a beginning that
    contains all media.

    expanded  the first prompt's tokens with expanded media placeholders, as the model receives them
    prompts   all prompts' tokens before the expansion
    media     the placeholder tokens of media
    """
    shortest = min(map(len, prompts))
    common = 0
    while common < shortest - 1 and all(p[common] == prompts[0][common] for p in prompts):
        common += 1
    ends = [prompt[common:] for prompt in prompts]
    own = len(ends[0])
    if expanded[-own:] != ends[0] or any(media.intersection(end) for end in ends):
        return None
    return JoinedRow(expanded[:-own], ends)


def window_of(model: "Model") -> int | None:
    """Return the size of the sliding attention window in tokens, or None if every layer sees all tokens.
    A shared row's mask ignores the window, so a shared row must not be longer."""
    text = model.network.config.get_text_config(decoder=True)
    window = getattr(text, "sliding_window", None)
    if not isinstance(window, int) or getattr(text, "use_sliding_window", True) is False:
        return None
    return window


def media_tokens(processor: Any) -> frozenset[int]:
    """Return the placeholder tokens of media, as the processor defines them."""
    found = (getattr(processor, name, None) for name in MEDIA_TOKENS)
    return frozenset(token for token in found if isinstance(token, int))


def finds_positions(network: Any) -> bool:
    """Return whether `network` finds the positions of tokens from its media."""
    return hasattr(network.base_model, "get_rope_index")


def positions(network: Any, inputs: dict[str, Any]) -> "torch.Tensor":
    """Return int64 [rows, tokens], or [3, rows, tokens] for models with positions in time, height and
    width: the positions that `network` itself would use for right-padded `inputs`."""
    import torch

    find = getattr(network.base_model, "get_rope_index", None)
    if find is not None:
        taken = inspect.signature(find).parameters
        given = {name: value for name, value in inputs.items() if name in taken}
        alike = _first_of_alike(given)
        found: torch.Tensor = find(**(alike or given))[0]
        return found.expand(-1, len(inputs["input_ids"]), -1) if alike else found
    rows, tokens = inputs["input_ids"].shape
    return torch.arange(tokens).expand(rows, tokens)


def _first_of_alike(given: dict[str, Any]) -> dict[str, Any] | None:
    """Return the first row's part if all rows have media of one size in the same places, else None. Such
    rows have the same positions, which the model would compute row by row."""
    rows = len(given["input_ids"])
    if rows < 2 or "mm_token_type_ids" not in given:
        return None
    first = {}
    for name, value in given.items():
        if not hasattr(value, "reshape") or not len(value) or len(value) % rows:
            return None
        each = value.reshape(rows, -1)
        if name != "input_ids" and not bool((each == each[0]).all()):
            return None
        first[name] = value[: len(value) // rows]
    return first


def lay_out(
    inputs: dict[str, Any], joined: Sequence[JoinedRow], where: "torch.Tensor", pad: int
) -> dict[str, Any]:
    """Return the inputs of joined rows, made from the right-padded inputs of their first prompts.

    where  the first prompts' `positions`

    The result has new tokens and `position_ids`, and no mask: the rows' `Branches` replace it.
    """
    import torch

    rows, old = inputs["input_ids"].shape
    width = max(map(len, joined))
    tokens = torch.full((rows, width), pad)
    new_where = torch.zeros((*where.shape[:-1], width), dtype=torch.int64)
    along = {
        name: value.new_zeros((rows, width, *value.shape[2:]))
        for name, value in inputs.items()
        if name not in ("input_ids", "attention_mask")
        and isinstance(value, torch.Tensor)
        and value.shape[:2] == (rows, old)
    }
    for i, row in enumerate(joined):
        start = len(row.beginning)
        tokens[i, : len(row)] = torch.tensor(row.beginning + [t for end in row.ends for t in end])
        new_where[..., i, :start] = where[..., i, :start]
        following = where[..., i, start : start + 1]  # of the first prompt's own end; media may lie beyond it
        for name, values in along.items():
            values[i, :start] = inputs[name][i, :start]
            values[i, start : len(row)] = inputs[name][i, start]  # as of the first prompt's own end
        for end in row.ends:
            new_where[..., i, start : start + len(end)] = following + torch.arange(len(end))
            start += len(end)
    laid = inputs | along | {"input_ids": tokens, "position_ids": new_where}
    del laid["attention_mask"]
    return laid


def branches_of(joined: Sequence[JoinedRow]) -> Branches:
    """Return the positions of the parts of joined rows."""
    return Branches.of([(len(row.beginning), [len(end) for end in row.ends]) for row in joined])

"""Joins several questions about the same media into one row, so that the model processes the media once.

A row is the beginning that the prompts have in common (the template and the media), then the end of each
question's prompt, one after the other. An end attends only to the beginning and to itself, and its
positions continue from the beginning; so the head vectors at its last token are those of the prompt
alone. The towers encode the media once, the language model processes the beginning once, and no key/value
cache is copied for each question.

This is exact for causal decoders that use the given mask and positions. It is tested when a model is
loaded (`savs.trials.sharing`); if the test fails, each question gets its own row.
"""

import inspect
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from savs.layers.branches import Branches

if TYPE_CHECKING:
    import torch

    from savs.model.model import Model


MEDIA_TOKENS = ("image_token_id", "video_token_id", "audio_token_id")
# The inputs of `get_rope_index` that have a value per medium, and the type of its tokens.
MEDIA_TYPES = {"image_grid_thw": 1, "video_grid_thw": 2, "second_per_grid_ts": 2}


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
        kinds = _kinds(given)
        if kinds is None:
            found: torch.Tensor = find(**given)[0]
            return found
        firsts, kind_of = kinds
        some: torch.Tensor = find(**firsts)[0]
        return some[:, kind_of]
    rows, tokens = inputs["input_ids"].shape
    return torch.arange(tokens).expand(rows, tokens)


def _kinds(given: dict[str, Any]) -> "tuple[dict[str, Any], list[int]] | None":
    """Return the inputs of one row of each kind, and the kind of every row; None if it is not clear which
    media a row has. Rows of a kind have media of the same sizes in the same places, so they have the same
    positions, which the model would compute row by row."""
    import torch

    parts: dict[str, Any] = {}
    for name, value in given.items():
        found = _by_row(name, value, given)
        if found is None:
            return None
        parts[name] = found
    seen: dict[tuple[bytes, ...], int] = {}
    kind_of, firsts = [], []
    for row in range(len(given["input_ids"])):
        key = tuple(part[row].numpy().tobytes() for name, part in parts.items() if name != "input_ids")
        if key not in seen:
            seen[key] = len(seen)
            firsts.append(row)
        kind_of.append(seen[key])
    return {name: torch.cat([part[row] for row in firsts]) for name, part in parts.items()}, kind_of


def _by_row(name: str, value: Any, given: dict[str, Any]) -> "Sequence[torch.Tensor] | None":
    """Return each row's part of an input, [1, tokens] or [media, …], or None if that is not clear."""
    import torch

    types = given.get("mm_token_type_ids")
    if types is None or not isinstance(value, torch.Tensor):
        return None
    rows = len(types)
    if value.shape == types.shape:
        return torch.split(value, 1)
    if name not in MEDIA_TYPES:
        return None
    shown = types == MEDIA_TYPES[name]
    begins = shown.clone()
    begins[:, 1:] &= ~shown[:, :-1]
    media = begins.sum(1).tolist()
    if sum(media) == len(value):
        return torch.split(value, media)
    # Where the frames of a video stand apart, its row has more places than media.
    alike = len(value) % rows == 0 and bool((types == types[0]).all())
    each = value.reshape(rows, -1) if alike else value
    return torch.split(value, len(value) // rows) if alike and bool((each == each[0]).all()) else None


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

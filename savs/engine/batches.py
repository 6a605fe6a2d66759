"""Builds model inputs from packed rows, a batch at a time. A prompt that cannot be built fails alone."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from savs.data.video.sampling import Video
from savs.engine import prompts
from savs.engine.packing import PIXELS_PER_TOKEN, PackedRow, TokensOf
from savs.engine.prompts import Prompt, preprocess, render
from savs.engine.sharing import (
    JoinedRow,
    branches_of,
    finds_positions,
    join,
    lay_out,
    media_tokens,
    positions,
    window_of,
)
from savs.errors import ItemError
from savs.layers.branches import Branches
from savs.model.grids import derive_from_grids
from savs.model.model import Model

if TYPE_CHECKING:
    from PIL.Image import Image


@dataclass(frozen=True)
class Batch:
    """Model inputs of some rows, and the position at which each prompt ends.

    inputs    arguments of the network, on the CPU; `input_ids` int64 [rows, tokens], padded on the right
    rows      the rows in this batch
    numbers   request numbers of the prompts, and for each of them
    lines     its row, and
    ends      its last token
    branches  where the rows branch; None if each row holds one question
    """

    inputs: dict[str, Any]
    rows: tuple[PackedRow, ...]
    numbers: tuple[int, ...]
    lines: tuple[int, ...]
    ends: tuple[int, ...]
    branches: Branches | None = None

    @property
    def tokens(self) -> int:
        """Number of tokens, padding included."""
        return int(self.inputs["input_ids"].numel())


def build(model: Model, rows: Sequence[PackedRow]) -> tuple[list[Batch], dict[int, ItemError]]:
    """Return batches of all usable prompts in `rows`, usually one batch, and the errors of the other
    prompts by request number."""
    firsts = [Prompt(row.media, row.questions[0]) for row in rows]
    found, refused = preprocess(model, firsts)
    batches, apart = [], [rows[i] for i in refused if len(rows[i].questions) > 1]
    errors = {rows[i].numbers[0]: error for i, error in refused.items() if len(rows[i].questions) == 1}
    for places, batch in found:
        these = [rows[i] for i in places]
        if all(len(row.questions) == 1 for row in these):
            batches.append(_plain(model, these, batch))
            continue
        joined = _joined(model, these, batch)
        apart += [row for row, one in zip(these, joined, strict=True) if one is None]
        kept = [i for i, one in enumerate(joined) if one is not None]
        if len(kept) < len(these):  # the inputs contain the pixels of the others too
            again = [these[i] for i in kept]
            more, wrong = build(model, again) if again else ([], {})
            batches, errors = batches + more, errors | wrong
            continue
        batches.append(_shared(model, these, batch, [one for one in joined if one is not None], errors))
    if apart:
        alone = [replace(row, questions=(q,), numbers=(n,)) for row in apart for q, n in _pairs(row)]
        more, wrong = build(model, alone)
        batches, errors = batches + more, errors | wrong
    return batches, errors


def _pairs(row: PackedRow) -> list[tuple[str, int]]:
    return list(zip(row.questions, row.numbers, strict=True))


def _plain(model: Model, rows: Sequence[PackedRow], batch: prompts.Processed) -> Batch:
    """Return a batch of rows with one question each. A model that shares is a causal decoder, so padding
    on the right has no effect: it needs no mask and can use its fastest attention. Positions are given to
    every model that would find them row by row, on its device."""
    inputs = batch.inputs
    if model.shares or (model.derives and finds_positions(model.network)):
        inputs = inputs | {"position_ids": positions(model.network, inputs)}
    if model.shares:
        del inputs["attention_mask"]
    if model.derives:
        inputs = inputs | derive_from_grids(model.network, inputs)
    numbers = tuple(row.numbers[0] for row in rows)
    ends = tuple(length - 1 for length in batch.lengths)
    return Batch(inputs, tuple(rows), numbers, tuple(range(len(rows))), ends)


def _joined(model: Model, rows: Sequence[PackedRow], batch: prompts.Processed) -> list[JoinedRow | None]:
    """Return each row's tokens, or None if its questions need separate rows."""
    longest = model.context * prompts.MAX_QUESTION_CHARACTERS_PER_TOKEN
    asked = [[Prompt(row.media, question) for question in row.questions] for row in rows]
    try:
        texts = render(model, [prompt for row in asked for prompt in row])
        tokenized = iter(prompts.tokenize(model, texts))
    except prompts.PROCESSOR_ERRORS:  # raised by one prompt; in separate rows each gets its own error
        return [None] * len(rows)
    media, window = media_tokens(model.processor), window_of(model)
    found: list[JoinedRow | None] = []
    for i, row in enumerate(asked):
        ids = [next(tokenized) for _ in row]
        expanded = batch.inputs["input_ids"][i, : batch.lengths[i]].tolist()
        short = all(len(prompt.question) <= longest for prompt in row)
        joined = join(expanded, ids, media) if short else None
        found.append(joined if joined is not None and len(joined) <= (window or len(joined)) else None)
    return found


def _shared(
    model: Model,
    rows: Sequence[PackedRow],
    batch: prompts.Processed,
    joined: Sequence[JoinedRow],
    errors: dict[int, ItemError],
) -> Batch:
    where = positions(model.network, batch.inputs)
    inputs = lay_out(batch.inputs, joined, where, model.processor.tokenizer.pad_token_id or 0)
    if model.derives:
        inputs = inputs | derive_from_grids(model.network, inputs)
    numbers, lines, ends = [], [], []
    for line, (row, one) in enumerate(zip(rows, joined, strict=True)):
        at = len(one.beginning)
        for number, end in zip(row.numbers, one.ends, strict=True):
            at += len(end)
            if len(one.beginning) + len(end) > model.context:
                errors[number] = prompts.too_long(model, f"{len(one.beginning) + len(end)} tokens")
                continue
            numbers.append(number)
            lines.append(line)
            ends.append(at - 1)
    return Batch(inputs, tuple(rows), tuple(numbers), tuple(lines), tuple(ends), branches_of(joined))


def tokens_of(model: Model) -> TokensOf:
    """Return a function that counts the tokens of images and videos as the processor does, or estimates
    them if the processor cannot count."""
    ask: Any = getattr(model.processor, "_get_num_multimodal_tokens", None)

    def count(kind: str, sizes: list[tuple[int, ...]]) -> list[int]:
        try:
            found = list(map(int, ask(**{f"{kind}_sizes": sizes})[f"num_{kind}_tokens"]))
        except prompts.PROCESSOR_ERRORS:  # it has no such method, or not for this kind or a size
            if len(sizes) > 1 and ask is not None:
                return [count(kind, [size])[0] for size in sizes]
            return [math.prod(size) // PIXELS_PER_TOKEN for size in sizes]
        return found

    def tokens(media: "Sequence[Image | Video]") -> list[int]:
        sized = [
            ("video", one.frames.shape[:3]) if isinstance(one, Video) else ("image", (one.height, one.width))
            for one in media
        ]
        known: dict[tuple[str, tuple[int, ...]], int] = {}
        for kind in ("image", "video"):
            # All at once: a call takes longer than decoding a small image.
            if sizes := list(dict.fromkeys(size for its, size in sized if its == kind)):
                known |= zip([(kind, size) for size in sizes], count(kind, sizes), strict=True)
        return [known[one] for one in sized]

    return tokens

"""Tests, when a model is loaded, whether questions about the same media can share a row."""

import logging
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from savs.data.video.sampling import Video
from savs.engine.packing import PackedRow
from savs.errors import ItemError
from savs.trials.media import gradients, long_video
from savs.trials.vectors import vectors_of

if TYPE_CHECKING:
    from PIL.Image import Image
    from torch import Tensor

    from savs.model.model import Model

log = logging.getLogger("savs.sharing")

EXACT = 0.9999  # least cosine of any head's vectors with those of prompts alone, in float32
EXACT_HALF = 0.99  # in bfloat16 and float16, whose rounding differs from batch to batch
# A model that rounds more than that: its heads may differ as much again as they do in a batch of plain rows.
NOISE = 2.0
LEAST_HALF = 0.9


def sharing_is_exact(model: "Model") -> bool:
    """Return whether rows of several questions give the same head vectors as prompts alone. Tested on
    generated images and videos with questions of different length, in a batch."""
    import torch

    tried: list[Sequence[Image | Video]] = [gradients((64, 64), (96, 64))]
    if hasattr(model.processor, "video_processor"):
        tried.append((long_video(8), long_video(6)))
    try:
        found = [_worst_cosines(model, media) for media in tried]
    except torch.OutOfMemoryError:
        raise  # says nothing about the model
    except Exception as error:  # a model's code may raise anything for such a mask or positions
        log.info("%s: one row per question (%s)", model.name, error)
        return False
    for joined, batched in found:
        bar = EXACT
        if model.dtype != "float32":
            bar = min(EXACT_HALF, 1 - NOISE * (1 - batched))
        if not (joined >= bar >= LEAST_HALF):  # true for NaN
            log.info("%s: one row per question (cosine %.5f, %.5f required)", model.name, joined, bar)
            return False
    return True


def _worst_cosines(model: "Model", media: "Sequence[Image | Video]") -> tuple[float, float]:
    """Return the lowest cosines of any head's vectors for several questions about each of two media, with
    those of every question alone: in joined rows, and in a batch of plain rows, which only halves round in
    another way. NaN if any is NaN, and 1 for videos if the model does not accept videos."""
    questions = ("What is it?", "Is there anything else in it, or above it?", "Which?")
    rows = [PackedRow((media[0],), questions, (0, 1, 2), 0), PackedRow((media[1],), questions[:2], (3, 4), 0)]
    alone = [
        PackedRow(row.media, (question,), (number,), 0)
        for row in rows
        for question, number in zip(row.questions, row.numbers, strict=True)
    ]
    plain, trying = replace(model, shares=False, derives=False), replace(model, shares=True)
    try:
        expected = [vectors_of(plain, [row]) for row in alone]
        batched = [] if model.dtype == "float32" else [vectors_of(plain, alone)]
    except ItemError:
        if isinstance(media[0], Video):
            return 1.0, 1.0
        raise  # without an image nothing is tested
    joined = [vectors_of(trying, rows), vectors_of(trying, alone)]  # joined; padded without a mask
    return _least(model, expected, joined), _least(model, expected, batched)


def _least(model: "Model", expected: "list[dict[int, Tensor]]", found: "list[dict[int, Tensor]]") -> float:
    import torch

    cosines = [
        torch.cosine_similarity(vector[place], other[number][place], dim=0)
        for one in expected
        for number, vector in one.items()
        for place in model.layout.slices().values()
        for other in found
    ]
    return float(torch.stack(cosines).min()) if cosines else 1.0  # Python's min() would ignore NaN

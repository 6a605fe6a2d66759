"""Tests, when a model is loaded onto a GPU, whether its vision tower takes what it derives from the sizes."""

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

    from savs.model.model import Model

log = logging.getLogger("savs.grids")


def deriving_is_exact(model: "Model") -> bool:
    """Return whether the head vectors of two images, and of two videos, are the same, bit by bit, if what the
    network derives from their sizes is given to it. False for a model on several devices."""
    import torch

    if len({parameter.device for parameter in model.network.parameters()}) > 1:
        return False
    tried: list[Sequence[Image | Video]] = [gradients((64, 64), (200, 120))]
    if hasattr(model.processor, "video_processor"):
        tried.append((long_video(8), long_video(6)))
    try:
        same = all(_are_same(model, media) for media in tried)
    except torch.OutOfMemoryError:
        raise
    except Exception as error:  # a model's code may raise anything for such arguments
        log.info("%s: its vision tower reads the sizes of images on the device (%s)", model.name, error)
        return False
    if not same:
        log.info("%s: its vision tower reads the sizes of images on the device (other vectors)", model.name)
    return same


def _are_same(model: "Model", media: "Sequence[Image | Video]") -> bool:
    import torch

    rows = [PackedRow((one,), ("What is it?",), (number,), 0) for number, one in enumerate(media)]
    try:
        expected = vectors_of(replace(model, derives=False), rows)
    except ItemError:
        if isinstance(media[0], Video):
            return True  # the model does not accept videos
        raise
    found = vectors_of(replace(model, derives=True), rows)
    return all(torch.equal(found[number], vector) for number, vector in expected.items())

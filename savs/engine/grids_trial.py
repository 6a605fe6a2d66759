"""Tests, when a model is loaded onto a GPU, whether its vision tower takes what it derives from the sizes."""

import logging
from dataclasses import replace
from typing import TYPE_CHECKING

from savs.engine.packing import PackedRow
from savs.engine.sharing_trial import vectors_of

if TYPE_CHECKING:
    from savs.model.model import Model

log = logging.getLogger("savs.grids")


def deriving_is_exact(model: "Model") -> bool:
    """Return whether the head vectors of two images are the same, bit by bit, if what the tower derives from
    their sizes is given to it. Models on several devices find it out themselves."""
    import torch
    from PIL import Image

    if len({parameter.device for parameter in model.network.parameters()}) > 1:
        return False
    drawn = Image.linear_gradient("L")
    images = [drawn.resize(size).convert("RGB") for size in ((64, 64), (200, 120))]
    rows = [PackedRow((image,), ("What is it?",), (number,), 0) for number, image in enumerate(images)]
    try:
        expected, found = (vectors_of(replace(model, derives=on), rows) for on in (False, True))
    except torch.OutOfMemoryError:
        raise
    except Exception as error:  # a model's code may raise anything for such arguments
        log.info("%s: its vision tower reads the sizes of images on the device (%s)", model.name, error)
        return False
    same = all(torch.equal(found[number], vector) for number, vector in expected.items())
    if not same:
        log.info("%s: its vision tower reads the sizes of images on the device (other vectors)", model.name)
    return same

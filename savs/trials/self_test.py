"""The self-test: checks a loaded model on two prompts before it is used.

An item's head vectors must not depend on the other items in its batch. If the attention sees the
padding, positions count it, or the processor pads on the other side, the model still returns vectors,
and nothing shows that they are useless.
"""

from itertools import pairwise
from typing import TYPE_CHECKING

from savs.engine.forward import read_heads
from savs.engine.prompts import Prompt, preprocess
from savs.errors import UnsupportedModel
from savs.model.model import Model
from savs.trials.media import ramps

if TYPE_CHECKING:
    import numpy as np

# Least cosine, layer by layer, between a prompt's vectors alone and in a padded batch.
LEAST_COSINE = {"float64": 0.999, "float32": 0.999}
# In bfloat16 rounding alone gives 0.9999 in tiny models of 28 layers; wider ones round more. A cosine of
# 0.99 corresponds to an error of a seventh of the vector's length.
LEAST_COSINE_OF_HALVES = 0.99
SIDE = 64  # pixels of the test image

# Raised by a network that does not accept the output of its own processor.
NETWORK_ERRORS = (ValueError, TypeError, KeyError, IndexError, AttributeError, RuntimeError)


def run_self_test(model: Model) -> None:
    """Compare the vectors of two prompts alone and in one padded batch; one prompt has an image if the
    model accepts images. Raises UnsupportedModel if a layer's vectors differ or a prompt fails.
    """
    prompts = [Prompt((), "Is it red?"), _longer(model)]
    alone = [_read(model, [prompt])[0] for prompt in prompts]
    together = _read(model, prompts)
    least = LEAST_COSINE.get(model.dtype, LEAST_COSINE_OF_HALVES)
    for apart, beside in zip(alone, together, strict=True):
        for layer, cosine in zip(model.layout.layers, _cosines(model, apart, beside), strict=True):
            if not cosine >= least:  # true for NaN
                raise _failed(
                    model,
                    f"a prompt alone and the same prompt padded in a batch differ: the cosine of their head "
                    f"vectors in layer {layer.layer} is {cosine:.4f}; at least {least} is required in "
                    f"{model.dtype}. Labels would depend on the other items in the batch",
                )


def _failed(model: Model, why: str) -> UnsupportedModel:
    return UnsupportedModel(
        f"{model.name} ({type(model.network).__name__}): the self-test failed: {why}. To load "
        "the model anyway, use --skip-self-test or load_model(..., self_test=False)"
    )


def _longer(model: Model) -> Prompt:
    if hasattr(model.processor, "image_processor"):
        return Prompt((ramps(SIDE),), "Which colours are in this picture, and where are they?")
    return Prompt((), "Is it red, or green, or blue? " * 4)


def _read(model: Model, prompts: list[Prompt]) -> "np.ndarray":
    """Return float32 [n, layout.width]: the head vectors of `prompts`, read in one batch."""
    import torch

    batches, errors = preprocess(model, prompts)
    if errors or len(batches) != 1:
        raise _failed(model, str(next(iter(errors.values()), "it cannot put two prompts into one batch")))
    [(_, batch)] = batches
    try:
        return read_heads(model, batch)
    except torch.OutOfMemoryError:
        raise  # unrelated to the correctness of the model
    except NETWORK_ERRORS as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise _failed(model, f"the network refuses the output of its own processor: {reason}") from error


def _cosines(model: Model, one: "np.ndarray", other: "np.ndarray") -> "list[float]":
    """Return the cosine of each layer's vectors, with all heads of a layer concatenated."""
    import numpy as np

    ends = np.cumsum([0, *(layer.width for layer in model.layout.layers)])
    found = []
    for start, end in pairwise(ends):
        a, b = one[start:end].astype(np.float64), other[start:end].astype(np.float64)
        with np.errstate(invalid="ignore"):  # a row of zeros, or NaN
            found.append(float(a @ b / (np.linalg.norm(a) * np.linalg.norm(b))))
    return found

"""Tests, when a model is loaded, whether its processor can return bytes that the device normalises."""

import logging
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

from savs.model.raw_pixels import CHANNELS, Normalisation, Raw, RawPixels
from savs.trials.media import noise_image, noise_video

if TYPE_CHECKING:
    from savs.engine.prompts import Prompt
    from savs.model.model import Model

log = logging.getLogger("savs.pixels")

Kind = Literal["images", "videos"]

# Width and height. Processors that cut images into tiles make different numbers of them, and those that
# pad images to the same size pad some: values that are padded after normalising are no bytes.
SIZES = ((64, 64), (200, 90), (1000, 400))
CLIPS = ((4, 56, 84), (4, 112, 56))  # frames, height and width


def find_raw(model: "Model") -> Raw:
    """Return how the processor's bytes are normalised, for images and for videos: None unless all its
    outputs are equal to its own, bit by bit, on generated media of several sizes in one call."""
    from savs.engine.prompts import Prompt

    small, wide, large = (noise_image(size) for size in SIZES)
    images = [Prompt(media, "Which is it?") for media in ((small,), (large, wide), (large,))]
    videos = [Prompt((noise_video(shape),), "Which?") for shape in CLIPS]
    return Raw(images=_tried(model, "images", images), videos=_tried(model, "videos", videos))


def _tried(model: "Model", kind: Kind, prompts: "Sequence[Prompt]") -> Normalisation | None:
    part = getattr(model.processor, f"{kind.removesuffix('s')}_processor", None)
    if part is None:
        return None
    try:
        plain = _inputs(replace(model, raw=Raw()), prompts)
        rule = _rule(part, plain)
        patch = getattr(part, "temporal_patch_size", None) or 1
        if kind == "images" and patch > 1:  # a video has frames of its own to fill a patch
            once = replace(rule, repeats=patch, arguments={**rule.arguments, "temporal_patch_size": 1})
            if not _tell_apart(model, prompts, plain, Raw(images=once)):
                return once
        why = _tell_apart(model, prompts, plain, Raw(**{kind: rule}))
        if not why:
            return rule
    except Exception as error:  # a processor's code may raise anything
        why = str(error) or type(error).__name__
    log.info("%s: %s are normalised on the CPU (%s: %s)", model.name, kind, type(part).__name__, why)
    return None


def _rule(part: Any, plain: dict[str, Any]) -> Normalisation:
    """Return what should give the processor's own output. Raises ValueError if nothing does."""
    import torch

    if not (getattr(part, "do_rescale", False) and getattr(part, "do_normalize", False)):
        raise ValueError("it does not rescale and normalise")
    # Both in float32 and in this order: as transformers computes them.
    mean, std = (
        (torch.tensor(values, dtype=torch.float32) * (1.0 / part.rescale_factor)).expand(CHANNELS).tolist()
        for values in (part.image_mean, part.image_std)
    )
    names = frozenset(name for name, value in plain.items() if _are_pixels(value))
    return Normalisation(
        names, tuple(mean), tuple(std), arguments={"do_rescale": False, "do_normalize": False}
    )


def _tell_apart(model: "Model", prompts: "Sequence[Prompt]", plain: dict[str, Any], raw: Raw) -> str:
    """Return how the inputs with `raw` differ from the processor's own, or "" if they are equal."""
    try:
        return _difference(plain, _inputs(replace(model, raw=raw), prompts))
    except Exception as error:  # a processor's code may raise anything for such arguments
        return str(error) or type(error).__name__


def _are_pixels(value: Any) -> bool:
    return hasattr(value, "is_floating_point") and value.is_floating_point() and value.ndim > 1


def _inputs(model: "Model", prompts: "Sequence[Prompt]") -> dict[str, Any]:
    """Return the inputs of prompts in one batch, pixels in float32. Raises ItemError, or ValueError."""
    import torch

    from savs.engine.prompts import preprocess

    batches, errors = preprocess(model, prompts)
    if errors:
        raise next(iter(errors.values()))
    [(_, batch)] = batches
    cpu = torch.device("cpu")
    return {
        name: value.on(cpu, torch.float32) if isinstance(value, RawPixels) else value
        for name, value in batch.inputs.items()
    }


def _difference(plain: dict[str, Any], other: dict[str, Any]) -> str:
    """Return how the inputs differ, or "" if they are equal."""
    import torch

    if plain.keys() != other.keys():
        return f"its outputs are {', '.join(sorted(other))}"
    for name, value in plain.items():
        found = other[name]
        if not isinstance(value, torch.Tensor) or not isinstance(found, torch.Tensor):
            if value != found:
                return f"{name} is another"
        elif (value.shape, value.dtype) != (found.shape, found.dtype):
            return f"{name} is {found.dtype} {list(found.shape)}, not {value.dtype} {list(value.shape)}"
        elif not torch.equal(value, found):
            return f"{name} differs by up to {(value.double() - found.double()).abs().max():.3g}"
    return ""

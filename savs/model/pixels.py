"""Pixel budgets: the limits between which a processor scales the pixels of an image or a video.

Processors of Qwen's kind have two numbers of pixels in `size`, under the names of edges. Others have
edges there, or a fixed size, and no budget to set. The processor decides which pixels are counted:
those of an image; of each frame of a video (Qwen2-VL, Qwen2.5-VL) or of all its frames together
(Qwen3-VL, GLM-4.xV).
"""

import copy
import inspect
import sys
from collections.abc import Mapping
from typing import Any

from savs.errors import UnsupportedModel

PARTS = ("image_processor", "video_processor")
SMALLEST, LARGEST = "shortest_edge", "longest_edge"  # in `size`: the limits of a budget, in pixels

Size = dict[str, int]


def sizes_of(processor: Any) -> dict[str, Size]:
    """The `size` of each part of `processor` that has one."""
    found = {}
    for part in PARTS:
        size = getattr(getattr(processor, part, None), "size", None)
        entries = {name: int(n) for name, n in sorted(dict(size or {}).items()) if n is not None}
        if entries:
            found[part] = entries
    return found


def has_budget(part: Any) -> bool:
    """Return whether an image or video processor scales to a number of pixels.

    It does if `smart_resize`, which all of Qwen's kind have in their module, takes such a number. The
    names in `size` do not show it: Idefics2's `shortest_edge` is an edge.
    """
    for home in type(part).__mro__:
        resize = getattr(sys.modules.get(home.__module__), "smart_resize", None)
        if callable(resize) and "max_pixels" in inspect.signature(resize).parameters:
            return {SMALLEST, LARGEST} <= set(dict(getattr(part, "size", None) or {}))
    return False


def with_budget(processor: Any, name: str, least: int | None, most: int | None) -> Any:
    """Return `processor` with the given budgets; the original is not changed.

    If only one limit is given and the checkpoint's own other limit conflicts with it, the other limit
    moves to it.

    name  the model's name, for the error

    Raises UnsupportedModel if a part has no budget.
    """
    if least is None and most is None:
        return processor
    sizes = {}
    for part, size in sizes_of(processor).items():
        if not has_budget(getattr(processor, part)):
            raise UnsupportedModel(
                f"{name}: its {part} ({type(getattr(processor, part)).__name__}) has no pixel budget, "
                "so min_pixels and max_pixels cannot be set; leave them out"
            )
        low = least or min(size[SMALLEST], most or size[SMALLEST])
        sizes[part] = size | {SMALLEST: low, LARGEST: most or max(size[LARGEST], low)}
    if not sizes:
        raise UnsupportedModel(f"{name} takes neither images nor videos; leave out min_pixels and max_pixels")
    return with_sizes(processor, sizes)


def with_sizes(processor: Any, sizes: Mapping[str, Size]) -> Any:
    """Return `processor` with these budgets, in the form of `sizes_of`; the original is not changed.

    Parts without a budget keep their size.
    """
    changed = {
        part: size
        for part, size in sizes.items()
        if sizes_of(processor).get(part) != size and has_budget(getattr(processor, part, None))
    }
    if not changed:
        return processor
    other = copy.copy(processor)
    for part, size in changed.items():
        resized = copy.copy(getattr(processor, part))
        resized.size = type(resized.size)(**size)
        setattr(other, part, resized)
    return other

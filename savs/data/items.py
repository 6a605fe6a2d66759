"""What `extract` accepts in place of samples: paths, images in memory, and rows of a manifest."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Union

from savs.data.memory import address_of
from savs.data.samples import UNNUMBERED, Sample, fields_of
from savs.errors import BadRow, SettingsError

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    from PIL.Image import Image

Item = Union[Sample, str, "Path", "Image", "np.ndarray", Mapping[str, Any]]


def samples_of(items: Iterable[Item]) -> list[Sample]:
    """Return the sample of each item, with an index and an id.

    An item is a Sample; an image or a video as in `Sample.media`; or a mapping with the fields of the
    `general` format, whose `image` may also hold images in memory. If an index is missing or occurs twice,
    all samples are numbered from 0 in their order. An id that is missing is the index.

    Raises SettingsError, with the item's place, if one is something else, and if `items` is a single item.
    """
    import numpy as np

    if isinstance(items, str | bytes | Mapping | np.ndarray) or not isinstance(items, Iterable):
        raise SettingsError(f"expected a list of items, found one {type(items).__name__}; pass [item]")
    samples = []
    for place, item in enumerate(items):
        try:
            samples.append(_sample_of(item))
        except (BadRow, SettingsError) as error:
            raise SettingsError(f"item {place}: {error}") from error
    numbers = [sample.index for sample in samples]
    if UNNUMBERED in numbers or len(set(numbers)) < len(numbers):
        numbers = list(range(len(samples)))
    return [replace(s, index=n, id=s.id or str(n)) for s, n in zip(samples, numbers, strict=True)]


def _sample_of(item: Item) -> Sample:
    if isinstance(item, Sample):
        return item
    if not isinstance(item, Mapping):
        return Sample(media=(address_of(item),))
    row = dict(item)
    if (media := row.get("image")) is not None:
        row["image"] = [address_of(one) for one in (media if isinstance(media, list | tuple) else [media])]
    found = fields_of(row, "general", labelled=False)
    return Sample(id=found.id or "", media=found.media, question=found.question, label=found.label)

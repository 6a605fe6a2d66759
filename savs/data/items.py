"""What `extract` accepts in place of samples: paths, images in memory, rows of a manifest, tables of them."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Union

from savs.data.formats import IDS, SHOWN, identifier
from savs.data.frames import is_frame, rows_of
from savs.data.memory import ImageInMemory, address_of
from savs.data.samples import UNNUMBERED, Sample, fields_of
from savs.errors import BadRow, SettingsError, WrongType, WrongValue

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    from PIL.Image import Image

Item = Union[Sample, str, "Path", "Image", "np.ndarray", Mapping[str, Any]]
Read = tuple[Sample, BadRow | None]
MEDIA_SHAPE = 3  # dimensions of the array of one image


@dataclass(frozen=True)
class Items:
    """Items that are being read.

    samples  the sample of each, in order, not numbered yet; with the reason if it cannot be used
    count    how many there are, if that is known
    whole    the samples, if they are all in memory and none is wrong
    """

    samples: Iterator[Read]
    count: int | None
    whole: list[Sample] | None


def open_items(items: Any) -> Items:
    """Return what is to be read of a list of items, a table, a generator, or a data set of another library.

    A list is read at once, and refused if one of its items is wrong. A generator is read when `samples` are,
    one item at a time, and a wrong item of it costs only itself; so does a wrong row of a table.

    Raises WrongType or WrongValue, with the item's place in a list.
    """
    if is_frame(items):
        found = [_row_sample(row, items) for row in rows_of(items)]
        if found and all(reason is not None for _, reason in found):
            raise WrongValue(f"no row of the table can be used; row 0: {found[0][1]}")
        return Items(iter(found), len(found), None)
    if hasattr(items, "to_pylist"):
        items = items.to_pylist()  # an array of Arrow
    _check_several(items)
    if isinstance(items, Sequence) or hasattr(items, "tolist"):  # also a Series, or an array of paths
        whole = [_checked(place, item) for place, item in enumerate(items)]
        return Items(((sample, None) for sample in whole), len(whole), whole)
    count = len(items) if hasattr(items, "__len__") else None
    return Items((_or_reason(item) for item in items), count, None)


def samples_of(items: Iterable[Item]) -> list[Sample]:
    """Return the sample of each item, with an index and an id.

    An item is a Sample; an image or a video as in `Sample.media`; or a mapping with the fields of the
    `general` format, whose `image` may also hold images in memory.

    Raises WrongType or WrongValue, with the item's place, if one is something else, and if `items` is a
    single item.
    """
    _check_several(items)
    return numbered([_checked(place, item) for place, item in enumerate(items)])


def numbered(samples: list[Sample]) -> list[Sample]:
    """Return the samples with an index and an id. If an index is missing or occurs twice, all are numbered
    from 0 in their order. An id that is missing is the index."""
    numbers = [sample.index for sample in samples]
    if UNNUMBERED in numbers or len(set(numbers)) < len(numbers):
        numbers = list(range(len(samples)))
    return [replace(s, index=n, id=s.id or str(n)) for s, n in zip(samples, numbers, strict=True)]


def without_pixels(sample: Sample) -> Sample:
    """Return the sample with only the names of its images in memory, so that these can be freed."""
    if not any(isinstance(one, ImageInMemory) for one in sample.media):
        return sample
    return replace(sample, media=tuple(map(str, sample.media)))


def _check_several(items: object) -> None:
    import numpy as np

    if isinstance(items, np.ndarray) and items.ndim == 1 and items.dtype.kind in "OTU":
        return
    if isinstance(items, np.ndarray) and items.ndim > MEDIA_SHAPE:
        raise WrongType(
            f"expected a list of items, found one ndarray {list(items.shape)}; pass list(items), an array "
            "[height, width, 3] per item"
        )
    if hasattr(items, "samples") and hasattr(items, "vectors"):
        raise WrongType(f"expected a list of items, found one {type(items).__name__}; pass its .samples")
    if isinstance(items, str | bytes | Mapping | np.ndarray) or not isinstance(items, Iterable):
        raise WrongType(f"expected a list of items, found one {type(items).__name__}; pass [item]")


def _checked(place: int, item: Any) -> Sample:
    try:
        return _sample_of(item)
    except (BadRow, SettingsError) as error:
        kind = WrongType if isinstance(error, TypeError) else WrongValue
        raise kind(f"item {place}: {error}") from error


def _or_reason(item: Any) -> Read:
    """Return the sample of an item and None; or one with only the item's id, and what is wrong with it."""
    try:
        return _sample_of(item), None
    except (BadRow, SettingsError) as error:
        return _only_id(item), BadRow(str(error))


def _only_id(item: Any) -> Sample:
    try:
        return Sample(id=(identifier(item, *IDS) or "") if isinstance(item, Mapping) else "")
    except BadRow:
        return Sample()


def _row_sample(row: dict[str, Any], frame: Any) -> Read:
    """The sample of a row of a table. A missing image is no item without images."""
    names = getattr(frame, "column_names", None) or list(frame.columns)
    if "image" in names and "image" not in row:
        return _only_id(row), BadRow("'image' is missing")
    return _or_reason(row)


def _sample_of(item: Any) -> Sample:
    if isinstance(item, Sample):
        return item
    if not isinstance(item, Mapping):
        return Sample(media=(address_of(item),))
    row = dict(item)
    if (media := row.get("image")) is not None:
        row["image"] = [address_of(one) for one in (media if isinstance(media, list | tuple) else [media])]
    elif row.get("question") is None:
        found = ", ".join(repr(str(name)[:SHOWN]) for name in row)
        raise BadRow(f"neither 'image' nor 'question'; it has {found or 'nothing'}")
    read = fields_of(row, "general", labelled=False)
    return Sample(
        id=read.id or "",
        media=read.media,
        question=read.question,
        label=read.label,
        labels=read.labels,
        extra=read.extra,
    )

"""Addresses of images in memory, so that an image travels through the pipeline like a file."""

from pathlib import Path
from typing import TYPE_CHECKING

from savs.errors import WrongType, WrongValue

if TYPE_CHECKING:
    import numpy as np
    from PIL.Image import Image


class ImageInMemory(str):
    """The address of `image`, which it keeps in memory. One object has one address, so it is decoded once."""

    image: "Image | np.ndarray"

    @classmethod
    def of(cls, image: "Image | np.ndarray") -> "ImageInMemory":
        address = cls(f"memory:{id(image)}")
        address.image = image
        return address


def address_of(medium: object) -> str:
    """Return the address of a medium: an address itself, a Path, a PIL image, or an array uint8
    [height, width, 3] or [height, width]. Raises WrongValue or WrongType for anything else."""
    if isinstance(medium, str):
        if not medium.strip():
            raise WrongValue(f"{medium!r} is not the path of an image")
        return medium
    if isinstance(medium, Path):
        return str(medium)
    import numpy as np
    from PIL.Image import Image

    if isinstance(medium, Image):
        return ImageInMemory.of(medium)
    found = f"a value of type {type(medium).__name__}"
    if isinstance(medium, np.ndarray):
        if medium.dtype == np.uint8 and medium.size and (medium.ndim == 2 or medium.shape[2:] == (3,)):
            return ImageInMemory.of(medium)
        found = f"an array {medium.dtype} {list(medium.shape)}"
    raise WrongType(
        f"{found} is not an image; pass a path, a PIL image, or an array uint8 [height, width, 3] or "
        "[height, width]"
    )

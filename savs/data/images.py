"""Decodes images, and converts those in memory: RGB out, upright and on white; every failure a typed
ItemError.

Pixels never become a constant: transparency is composited on white (as Qwen's own loader does), 16-bit,
integer and float greys are scaled to 8 bits, and a range that cannot be scaled is refused.
"""

import io
import logging
import random
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from savs.data.metadata import JPEG, JPEG_END, without_metadata
from savs.data.space import PIXEL_BYTES, Reserve, one_item
from savs.errors import ItemError, MediaTooLarge, UnreadableMedia

if TYPE_CHECKING:
    import numpy as np
    from PIL.Image import Image

# Pillow's complaints about files would reach the terminal of a program without logging.
logging.getLogger("PIL").addHandler(logging.NullHandler())

MAX_IMAGE_PIXELS = 64_000_000
IMAGE_FORMATS = ["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF", "PPM", "JPEG2000"]
HEIF_BRANDS = (b"heic", b"heix", b"hevc", b"heim", b"heis", b"mif1", b"msf1")
WHITE = (255, 255, 255, 255)
# Greys that are not of 8 bits: the largest value of each scale, and what it is divided by.
GREY_SCALES = ((1.0, 1 / 255), (255.0, 1.0), (65535.0, 257.0))
ORIENTATION, TURNED = 0x0112, range(2, 9)  # the EXIF tag, and its values for images that are not upright
NO_END = "the JPEG lacks its end marker; all of its pixels are there"


def decode_image(data: bytes, name: str, reserve: Reserve = one_item) -> "tuple[Image, tuple[str, ...]]":
    """Return the image in `data`, RGB, upright as its EXIF orientation says; and notes on an odd file.

    name     of the image, for errors
    reserve  is asked for memory before anything is decoded

    Raises UnreadableMedia or MediaTooLarge.
    """
    from PIL import Image

    Image.init()  # registers every format, without which naming one fails
    # Pillow warns of sizes, for which there is a limit below, and of damaged metadata, which is not used.
    warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)
    warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.")
    with _typed_errors(name):
        return _decode(without_metadata(data), name, reserve)


def convert_image(image: "Image | np.ndarray", name: str, reserve: Reserve = one_item) -> "Image":
    """Return an image in memory as `decode_image` returns one in a file. Raises the same errors."""
    from PIL import Image

    with _typed_errors(name):
        opened = image if isinstance(image, Image.Image) else Image.fromarray(image)
        _check_size(opened, name, reserve)
        opened.load()
        return _rgb(_upright(opened), name)


@contextmanager
def _typed_errors(name: str) -> Iterator[None]:
    from PIL import Image, UnidentifiedImageError

    try:
        yield
    except ItemError:
        raise
    except UnidentifiedImageError as error:
        raise UnreadableMedia(f"{name} is not an image of a known format") from error
    except Image.DecompressionBombError as error:
        raise MediaTooLarge(f"{name}: {error}") from error
    except Exception as error:  # Pillow's decoders raise almost anything on hostile bytes
        raise UnreadableMedia(f"{name} cannot be decoded: {error or type(error).__name__}") from error


def _decode(data: bytes, name: str, reserve: Reserve) -> "tuple[Image, tuple[str, ...]]":
    from PIL import Image

    with Image.open(io.BytesIO(data), formats=_formats(data, name)) as image:
        _check_size(image, name, reserve)
        try:
            image.load()
        except OSError:
            if (whole := _with_end(data)) is None:
                raise
            return _decode(whole, name, reserve)[0], (NO_END,)
        upright = _upright(image)
        # Pillow would copy it. The decoders of other formats keep the file's bytes, a copy does not.
        if upright.format == "JPEG" and upright.mode == "RGB":
            return upright, ()
        return _rgb(upright, name), ()


def _check_size(image: "Image", name: str, reserve: Reserve) -> None:
    width, height = image.size
    if not width * height:
        raise UnreadableMedia(f"{name} has no pixels")
    if width * height > MAX_IMAGE_PIXELS:
        raise MediaTooLarge(f"{name} has {width} × {height} pixels; at most {MAX_IMAGE_PIXELS} are decoded")
    try:
        reserve(PIXEL_BYTES * width * height, True)
    except MediaTooLarge as error:
        raise MediaTooLarge(f"{name} {error}") from error


def _formats(data: bytes, name: str) -> list[str]:
    """The formats that `data` may have; HEIF is read by an optional package."""
    if data[4:8] != b"ftyp" or data[8:12] not in HEIF_BRANDS:
        return IMAGE_FORMATS
    try:
        import pillow_heif
    except ImportError as error:
        raise UnreadableMedia(f"{name} is a HEIC image; to read these: pip install 'savs[heif]'") from error
    pillow_heif.register_heif_opener()
    return [*IMAGE_FORMATS, "HEIF"]


def _upright(image: "Image") -> "Image":
    """Return the image itself if it is upright; Pillow would copy it."""
    from PIL import ImageOps

    try:
        turned = ImageOps.exif_transpose(image) if image.getexif().get(ORIENTATION) in TURNED else None
    except Exception:  # damaged EXIF: the pixels are as they are stored
        return image
    return image if turned is None else turned


def _rgb(image: "Image", name: str) -> "Image":
    from PIL import Image

    if image.mode.startswith(("I", "F")):
        grey, hidden = _grey(image, name)
        if hidden is not None:
            grey[hidden] = 255
        return Image.fromarray(grey).convert("RGB")
    if image.has_transparency_data:
        ground = Image.new("RGBA", image.size, WHITE)
        return Image.alpha_composite(ground, image.convert("RGBA")).convert("RGB")
    return image.convert("RGB")


def _grey(image: "Image", name: str) -> "tuple[np.ndarray, np.ndarray | None]":
    """uint8 [height, width], and which pixels are transparent."""
    import numpy as np

    values = np.asarray(image)
    transparent = image.info.get("transparency")
    hidden = values == transparent if isinstance(transparent, int) else None
    if image.mode.startswith("I;16") or image.format == "PPM":
        return (values >> 8).astype(np.uint8), hidden  # the upper half of 16 bits
    low, high = float(values.min()), float(values.max())
    for most, divisor in GREY_SCALES:
        if low >= 0 and high <= most:
            return (values / divisor).round().astype(np.uint8), hidden
    raise UnreadableMedia(
        f"{name} has grey values from {low:g} to {high:g}, and their scale is not known; convert it to 8 or "
        "16 bits"
    )


def _with_end(data: bytes) -> bytes | None:
    """Return a truncated JPEG with its end marker if nothing else is missing; else None.

    A decoder fills missing pixels with grey and reports nothing. But then it takes any bytes put before the
    end marker for pixels: if the image is the same with and without such bytes, it was complete.
    """
    from PIL import Image, ImageChops

    if not data.startswith(JPEG):
        return None
    filler = bytes(random.Random(0).randrange(255) for _ in range(4096))  # never a marker
    images = []
    for end in (JPEG_END, filler + JPEG_END):
        try:
            with Image.open(io.BytesIO(data + end), formats=["JPEG"]) as image:
                images.append(image.copy())
        except OSError:
            return None
    if ImageChops.difference(images[0].convert("RGB"), images[1].convert("RGB")).getbbox() is not None:
        return None
    return data + JPEG_END

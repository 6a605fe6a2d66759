"""Pixels never become a constant, and metadata never decides over pixels."""

import hashlib
import io
import struct
import weakref
import zlib

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageOps, PngImagePlugin

from savs.data.images import NO_END, decode_image
from savs.data.media import Digest, open_media, open_with_digest
from savs.data.samples import Sample
from savs.data.video.sampling import FrameSampling
from savs.errors import MediaTooLarge, UnreadableMedia
from tests.savs.data.drawing import noise

GREY = np.asarray(noise(24, 18, 3).convert("L"))


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def pixels(data: bytes) -> np.ndarray:
    return np.asarray(decode_image(data, "a.png")[0])


def sign(hidden: int = 0) -> Image.Image:
    """A black ring on a transparent ground whose hidden colour is grey of that brightness."""
    image = Image.new("RGBA", (48, 48), (hidden, hidden, hidden, 0))
    ImageDraw.Draw(image).ellipse((8, 8, 40, 40), outline=(0, 0, 0, 255), width=6)
    return image


def on_white() -> np.ndarray:
    white = Image.new("RGB", (48, 48), "white")
    white.paste(sign(), mask=sign().getchannel("A"))
    return np.asarray(white)


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("hidden", [0, 200])
def test_transparency_is_shown_on_white(kind: str, hidden: int) -> None:
    options = {"lossless": True} if kind == "WEBP" else {}

    assert np.array_equal(pixels(encoded(sign(hidden), kind, **options)), on_white())


def test_a_palette_with_a_transparent_colour_is_shown_on_white() -> None:
    indexed = Image.new("P", (48, 48), 0)
    indexed.putpalette([9, 9, 9, 0, 0, 0])
    indexed.paste(1, mask=sign().getchannel("A"))

    assert np.array_equal(pixels(encoded(indexed, "PNG", transparency=0)), on_white())
    assert np.array_equal(pixels(encoded(indexed, "GIF", transparency=0)), on_white())


@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_one_colour_that_is_transparent_is_shown_white(mode: str) -> None:
    image = Image.new(mode, (8, 8), 0)
    image.putpixel((3, 3), 77 if mode == "L" else (77, 77, 77))
    transparent = 0 if mode == "L" else (0, 0, 0)

    found = pixels(encoded(image, "PNG", transparency=transparent))

    assert found[3, 3].tolist() == [77, 77, 77]
    assert found[0, 0].tolist() == [255, 255, 255]


@pytest.mark.parametrize(
    "values",
    [
        (GREY / 255).astype(np.float32),
        GREY.astype(np.float32),
        (GREY * 257.0).astype(np.float32),
        GREY.astype(np.int32),
        GREY.astype(np.int32) * 257,
        GREY.astype(np.uint16) * 257,
    ],
    ids=["0 to 1", "float to 255", "float to 65535", "int to 255", "int to 65535", "16 bits"],
)
def test_greys_of_more_than_eight_bits_are_scaled(values: np.ndarray) -> None:
    found = pixels(encoded(Image.fromarray(values), "TIFF"))

    assert np.abs(found[..., 0].astype(int) - GREY).max() <= 1


@pytest.mark.parametrize("values", [[-1.0, 1.0], [0.0, 1e6], [0.0, np.nan], [0.0, np.inf]])
def test_greys_without_a_known_scale_are_refused(values: list[float]) -> None:
    data = encoded(Image.fromarray(np.array([values], np.float32)), "TIFF")

    with pytest.raises(UnreadableMedia, match=r"grey values from .* their scale is not known"):
        decode_image(data, "depth.tif")


def png_with(kind: bytes, data: bytes) -> bytes:
    """A PNG with one more chunk behind its header."""
    whole = encoded(noise(20, 10), "PNG")
    chunk = struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    return whole[:33] + chunk + whole[33:]


@pytest.mark.parametrize(
    "data",
    [
        png_with(b"zTXt", b"history\0\0" + zlib.compress(b"edit " * 400_000)),
        png_with(b"iTXt", b"history\0\1\0\0\0" + zlib.compress(b"edit " * 400_000)),
        png_with(b"iCCP", b"p\0\0" + zlib.compress(b"\0" * 3_000_000)),
        png_with(b"iCCP", b"broken"),
        png_with(b"eXIf", b"MM\0*\xff\xff\xff\xff"),
        png_with(b"pHYs", b""),
        png_with(b"gAMA", b"\0")[:-1] + b"\x82",
    ],
    ids=["zTXt", "iTXt", "iCCP", "broken iCCP", "broken eXIf", "short pHYs", "short gAMA"],
)
def test_metadata_of_a_png_does_not_decide_over_its_pixels(data: bytes) -> None:
    assert np.array_equal(pixels(data), np.asarray(noise(20, 10)))


def test_a_chunk_with_a_wrong_checksum_is_dropped_if_it_holds_no_pixels() -> None:
    info = PngImagePlugin.PngInfo()
    info.add_text("comment", "x" * 50)
    data = bytearray(encoded(noise(20, 10), "PNG", pnginfo=info))
    data[data.index(b"tEXt") + 20] ^= 0xFF

    assert np.array_equal(pixels(bytes(data)), np.asarray(noise(20, 10)))


def test_metadata_of_a_jpeg_does_not_decide_over_its_pixels() -> None:
    plain = encoded(noise(20, 10), "JPEG", quality=95)
    odd = encoded(
        noise(20, 10), "JPEG", quality=95, exif=b"Exif\0\0MM\0*\xff\xff\xff\xff", comment=b"\xff" * 9
    )

    assert np.array_equal(pixels(odd), pixels(plain))


def test_cmyk_keeps_its_colours_without_the_other_segments() -> None:
    image = noise(20, 10).convert("CMYK")
    data = encoded(image, "JPEG", quality=100, subsampling=0)
    with Image.open(io.BytesIO(data)) as decoded:
        truth = np.asarray(decoded.convert("RGB"))

    assert np.array_equal(pixels(data), truth)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF", "GIF"])
def test_an_image_does_not_keep_its_file(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[weakref.ref[io.BytesIO]] = []

    class Watched(io.BytesIO):
        def __init__(self, data: bytes) -> None:
            super().__init__(data)
            opened.append(weakref.ref(self))

    data = encoded(noise(24, 18), kind)
    with monkeypatch.context() as patched:
        patched.setattr(io, "BytesIO", Watched)
        image, _ = decode_image(data, "a.png")

    assert opened and not any(stream() for stream in opened)
    # nor a decoder, which may hold the file's bytes itself
    assert kind == "JPEG" or type(image) is Image.Image


@pytest.mark.parametrize("turned", range(1, 9))
def test_an_image_is_turned_as_its_exif_says(turned: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = turned
    data = encoded(noise(24, 18), "JPEG", exif=exif)

    expected = ImageOps.exif_transpose(Image.open(io.BytesIO(data)))

    assert np.array_equal(pixels(data), np.asarray(expected))


@pytest.mark.parametrize("progressive", [False, True])
def test_a_jpeg_that_lacks_only_its_end_is_shown_with_a_note(progressive: bool) -> None:
    whole = encoded(noise(64, 48), "JPEG", quality=90, progressive=progressive)

    image, notes = decode_image(whole[:-2], "a.jpg")

    assert np.array_equal(np.asarray(image), pixels(whole))
    assert notes == (NO_END,)
    assert decode_image(whole, "a.jpg")[1] == ()


@pytest.mark.parametrize("progressive", [False, True])
@pytest.mark.parametrize("missing", [40, 400, 2000])
def test_a_jpeg_that_lacks_pixels_is_refused(progressive: bool, missing: int) -> None:
    whole = encoded(noise(64, 48), "JPEG", quality=90, progressive=progressive)

    with pytest.raises(UnreadableMedia, match="truncated"):
        decode_image(whole[:-missing], "a.jpg")


def test_heic_is_read_by_an_optional_package(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    import pillow_heif

    pillow_heif.register_heif_opener()
    data = encoded(noise(64, 64), "HEIF", quality=-1)
    assert pixels(data).shape == (64, 64, 3)

    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    with pytest.raises(UnreadableMedia, match=r"is a HEIC image; to read these: pip install 'savs\[heif\]'"):
        decode_image(data, "a.heic")


def opened(image: Image.Image | np.ndarray) -> np.ndarray:
    """The pixels of an image in memory, as a model sees them."""
    [address] = Sample(media=image).media  # type: ignore[arg-type]
    return np.asarray(open_media(address, FrameSampling()))


@pytest.mark.parametrize("mode", ["1", "L", "LA", "RGB", "RGBA", "CMYK", "I;16", "YCbCr"])
def test_an_image_in_memory_looks_like_its_file(mode: str) -> None:
    image = sign().convert("L").convert(mode) if mode == "I;16" else sign().convert(mode)

    assert np.array_equal(opened(image), pixels(encoded(image, "TIFF")))


def test_an_image_in_memory_with_a_transparent_palette_is_shown_on_white() -> None:
    image = sign().convert("P")
    assert image.has_transparency_data

    assert np.array_equal(opened(image), on_white())


def test_an_image_in_memory_is_turned_as_its_exif_says_and_is_not_changed() -> None:
    image = noise(24, 18)
    image.getexif()[0x0112] = 6  # turned by 90 degrees

    assert opened(image).shape == (24, 18, 3)
    assert image.size == (24, 18)


def test_an_open_file_that_was_not_read_yet_is_an_image_in_memory() -> None:
    data = encoded(noise(24, 18), "PNG")

    assert np.array_equal(opened(Image.open(io.BytesIO(data))), pixels(data))


@pytest.mark.parametrize("array", [GREY, np.asarray(noise(24, 18)), np.asarray(noise(24, 18))[::-2, ::3]])
def test_an_array_is_shown_as_it_is(array: np.ndarray) -> None:
    rgb = array if array.ndim == 3 else np.stack([array] * 3, axis=2)

    assert np.array_equal(opened(array), rgb)


@pytest.mark.parametrize(
    ("image", "error"),
    [
        (Image.open(io.BytesIO(encoded(noise(240, 180), "PNG")[:9000])), UnreadableMedia),
        (Image.new("RGB", (0, 4)), UnreadableMedia),
        (Image.fromarray(np.full((4, 4), -7.0, np.float32)), UnreadableMedia),
        (np.zeros((8001, 8000), np.uint8), MediaTooLarge),
    ],
)
def test_an_image_in_memory_that_cannot_be_shown_is_refused_like_a_file(
    image: Image.Image | np.ndarray, error: type[Exception]
) -> None:
    with pytest.raises(error, match="the image in memory"):
        opened(image)


def test_the_digest_of_an_image_in_memory_is_that_of_its_ppm_file() -> None:
    image = noise(24, 18)
    ppm = encoded(image, "PPM")
    [address] = Sample(media=image).media  # type: ignore[arg-type]

    sha256 = hashlib.sha256(ppm).hexdigest()
    assert open_with_digest(address, FrameSampling(), lambda size: True)[1] == Digest(len(ppm), sha256)
    assert open_with_digest(address, FrameSampling())[1] == Digest(len(ppm))

"""Image files without the parts that do not hold pixels.

Large or damaged texts, colour profiles and camera data make Pillow refuse images whose pixels are whole. Only
the orientation in EXIF and the transforms that decoding needs change what savs shows. So the others are
dropped before Pillow reads the file. A file with an unknown structure is left as it is.
"""

import struct
from collections.abc import Iterator

PNG = b"\x89PNG\r\n\x1a\n"
PNG_KEPT = {b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND"}
JPEG = b"\xff\xd8"
JPEG_END = b"\xff\xd9"
MAX_EXIF_BYTES = 2**16  # of a PNG; a JPEG's segments are never larger
START_OF_SCAN, COMMENT = 0xDA, 0xFE
APPLICATION = range(0xE0, 0xF0)
JFIF, EXIF, ADOBE = 0xE0, 0xE1, 0xEE  # Adobe's says how colours are stored
WITHOUT_LENGTH = {0x01, *range(0xD0, 0xD9)}


def without_metadata(data: bytes) -> bytes:
    """Return a PNG or JPEG file without metadata but its orientation; other data as it is."""
    if data.startswith(PNG):
        return b"".join((PNG, *_png_chunks(data)))
    if data.startswith(JPEG):
        return b"".join((JPEG, *_jpeg_segments(data)))
    return data


def _png_chunks(data: bytes) -> Iterator[bytes]:
    at = len(PNG)
    while at + 8 <= len(data):
        length, kind = struct.unpack_from(">I4s", data, at)
        end = at + 12 + length
        small_exif = kind == b"eXIf" and length <= MAX_EXIF_BYTES
        # An unknown critical chunk (upper case) is for Pillow to refuse.
        if kind in PNG_KEPT or small_exif or kind[:1].isupper():
            yield data[at:end]
        at = end


def _jpeg_segments(data: bytes) -> Iterator[bytes]:
    at = len(JPEG)
    while at + 4 <= len(data) and data[at] == 0xFF:
        marker = data[at + 1]
        if marker == START_OF_SCAN:
            break
        if marker == 0xFF or marker in WITHOUT_LENGTH:
            yield data[at : at + 1 + (marker != 0xFF)]
            at += 1 + (marker != 0xFF)
            continue
        end = at + 2 + struct.unpack_from(">H", data, at + 2)[0]
        exif = marker == EXIF and data[at + 4 : at + 10] == b"Exif\0\0"
        if (marker not in APPLICATION and marker != COMMENT) or exif or marker in (JFIF, ADOBE):
            yield data[at:end]
        at = end
    yield data[at:]

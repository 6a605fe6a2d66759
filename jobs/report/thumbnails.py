"""Small pictures of items, as JPEG in data: addresses. What cannot be opened has a reason in place of one."""

import base64
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from io import BytesIO
from typing import TYPE_CHECKING

from jobs.report.texts import shorten
from savs.data.media import open_media
from savs.data.video.sampling import FrameSampling
from savs.errors import SavsError

if TYPE_CHECKING:
    import numpy as np
    from PIL.Image import Image

SIDE = 224  # pixels at most, of an image
FRAME_SIDE = 128  # of a frame of a video, or of one of several media
FRAMES = 4  # of a video
QUALITY = 72  # of a JPEG
THREADS = 4
SECONDS = 90.0  # after which no more pictures are begun
MEDIA = 6  # of one item
LATE = "the time for pictures was over"
FULL = "the page is full"


@dataclass(frozen=True)
class Picture:
    """A medium of an item: pictures as data: addresses, several of a video; or why there are none."""

    pictures: tuple[str, ...] = ()
    reason: str | None = None

    @property
    def size(self) -> int:
        """Characters in the page."""
        return sum(map(len, self.pictures))


def draw_pictures(items: Sequence[Sequence[str]], most: int) -> list[list[Picture]]:
    """Return the pictures of each item's media. At most `most` characters are used, by the first items."""
    until, left, found = time.monotonic() + SECONDS, most, []
    with ThreadPoolExecutor(THREADS) as pool:
        for media in pool.map(lambda addresses: _item(addresses, until), items):
            size = sum(one.size for one in media)
            found.append(media if size <= left else [Picture(reason=FULL) for _ in media])
            left -= min(size, left)
    return found


def _item(addresses: Sequence[str], until: float) -> list[Picture]:
    side = SIDE if len(addresses) == 1 else FRAME_SIDE
    return [_picture(address, side, until) for address in addresses[:MEDIA]]


def _picture(address: str, side: int, until: float) -> Picture:
    if time.monotonic() > until:
        return Picture(reason=LATE)
    try:
        found = open_media(address, FrameSampling(frames=FRAMES))
    except SavsError as error:
        return Picture(reason=shorten(str(error)))
    if hasattr(found, "frames"):
        return Picture(tuple(_frames(found.frames)))
    return Picture((_address(found, side),))


def _frames(frames: "np.ndarray") -> Iterator[str]:
    from PIL import Image

    for frame in frames:
        yield _address(Image.fromarray(frame), FRAME_SIDE)


def _address(image: "Image", side: int) -> str:
    image = image.convert("RGB")
    image.thumbnail((side, side))
    out = BytesIO()
    image.save(out, "JPEG", quality=QUALITY, optimize=True)
    return "data:image/jpeg;base64," + base64.b64encode(out.getvalue()).decode()

"""Opens images and videos: takes an address, returns pixels; every failure is a typed ItemError.

Images are decoded in this process (`savs.data.images`), videos in processes of their own
(`savs.data.video`). Nothing is resized: the processor applies the pixel budgets.
"""

import hashlib
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, TYPE_CHECKING

from savs.data.confined import inside_of
from savs.data.images import convert_image, decode_image
from savs.data.memory import ImageInMemory
from savs.data.video.containers import HEAD_BYTES, holds_frames
from savs.data.video.decoder_pool import DECODERS
from savs.data.video.sampling import FrameSampling, Video
from savs.data.web import Patience, fetch, is_web, shown
from savs.errors import (
    ForbiddenMedia,
    MediaTooLarge,
    MissingMedia,
    NotFound,
    NoVideoSupport,
    OutsideLink,
    StorageError,
    UnreadableMedia,
)
from savs.storage import open_parent
from savs.timings import Timings

if TYPE_CHECKING:
    from PIL.Image import Image

BLOCK_BYTES = 2**18
MAX_IMAGE_BYTES = 256 * 2**20
MAX_VIDEO_BYTES = 8 * 2**30
WEB_VIDEO_SECONDS = 600.0  # to fetch a video from the web
VIDEO_SUFFIXES = (
    *(".mp4", ".avi", ".mov", ".mkv", ".webm", ".m4v", ".ts", ".mts", ".m2ts"),
    *(".mpg", ".mpeg", ".wmv", ".flv", ".3gp", ".ogv"),
)


@dataclass(frozen=True)
class Digest:
    """Identifies the bytes of an image or a video: their number, and their sha256 as hexadecimal
    digits, or None if it was not requested. The bytes of an image in memory are those of a PPM file.

    notes  what is odd about the file, for people; identifies nothing
    """

    size: int
    sha256: str | None = None
    notes: tuple[str, ...] = field(default=(), compare=False)


def is_video(address: str) -> bool:
    """Return whether `address` is treated as a video. Only its suffix counts."""
    return _name(address).lower().endswith(VIDEO_SUFFIXES)


def _name(address: str) -> str:
    """Return `address` as shown in messages: without a web query, which may hold a signature."""
    return shown(address) if is_web(address) else address


def base_name(address: str) -> str:
    """The last part of the path of `address`."""
    return _name(address).rpartition("/")[2]


def open_media(address: str, sampling: FrameSampling) -> "Image | Video":
    """The image (RGB) or the frames of the video at `address`: a local path, s3://, http(s)://.

    Raises MissingMedia, ForbiddenMedia, UnreadableMedia, MediaTooLarge or NoVideoSupport.
    """
    return open_with_digest(address, sampling)[0]


def open_with_digest(
    address: str,
    sampling: FrameSampling,
    hashed: Callable[[int], bool] = lambda size: False,
    timings: Timings | None = None,
) -> "tuple[Image | Video, Digest]":
    """Like `open_media`, with the digest of the bytes, which are fetched once.

    hashed   takes the number of bytes, returns whether their sha256 is needed
    timings  receives the stages `fetch` and `decode`; a local video is read while it is decoded
    """
    name, timings = _name(address), timings or Timings()
    if isinstance(address, ImageInMemory):
        with timings.stage("decode"):
            image = convert_image(address.image, "the image in memory")
            return image, _digest_of_image(image, hashed)
    if is_video(address):
        with ExitStack() as held:
            with timings.stage("fetch"):
                path = held.enter_context(_local_file(address))
            with timings.stage("decode"):
                video = read_video(path, sampling, name)
                return video, _digest_of_file(path, name, hashed)
    with timings.stage("fetch"), _stream(address) as stream:
        data = read_bytes(stream, name)
    with timings.stage("decode"):
        sha256 = hashlib.sha256(data).hexdigest() if hashed(len(data)) else None
        image, notes = decode_image(data, name)
        return image, Digest(len(data), sha256, notes)


def read_bytes(stream: IO[bytes], name: str) -> bytes:
    """All bytes of an image. Raises UnreadableMedia if there are no bytes, and MediaTooLarge."""
    # In blocks, because `read(n)` may allocate memory for n bytes at once.
    blocks, left = [], MAX_IMAGE_BYTES + 1
    while left > 0 and (block := stream.read(min(left, BLOCK_BYTES))):
        blocks.append(block)
        left -= len(block)
    data = b"".join(blocks)
    if not data:
        raise UnreadableMedia(f"{name} is empty")
    if len(data) > MAX_IMAGE_BYTES:
        raise MediaTooLarge(f"{name} has more than {MAX_IMAGE_BYTES} bytes")
    return data


def read_video(path: Path, sampling: FrameSampling, name: str) -> Video:
    """Return the frames of the video file at `path` that `sampling` chooses."""
    size = path.stat().st_size
    if size == 0:
        raise UnreadableMedia(f"{name} is empty")
    if size > MAX_VIDEO_BYTES:
        raise MediaTooLarge(f"{name} has more than {MAX_VIDEO_BYTES} bytes")
    with path.open("rb") as stream:
        if not holds_frames(stream.read(HEAD_BYTES)):
            raise UnreadableMedia(f"{name} is not a video of a known container")
    try:
        return DECODERS.read(path, sampling)
    except (MediaTooLarge, NoVideoSupport) as error:
        raise type(error)(f"{name} {error}") from error
    except UnreadableMedia as error:
        raise UnreadableMedia(f"{name} cannot be decoded as a video: {error}") from error


@contextmanager
def _stream(address: str) -> Iterator[IO[bytes]]:
    if is_web(address):
        limit, patience = (
            (MAX_VIDEO_BYTES, Patience(total=WEB_VIDEO_SECONDS))
            if is_video(address)
            else (MAX_IMAGE_BYTES, Patience())
        )
        with fetch(address, limit, patience=patience) as stream:
            yield stream
        return
    try:
        store, key = open_parent(address, inside_of(address))
        stream = store.open(key)
    except OutsideLink as error:
        raise ForbiddenMedia(str(error)) from error
    except NotFound as error:
        raise MissingMedia(f"{address} does not exist") from error
    except StorageError as error:
        raise UnreadableMedia(str(error)) from error
    with stream:
        yield stream


@contextmanager
def _local_file(address: str) -> Iterator[Path]:
    """Yield the file itself if it is local, else a copy that is deleted afterwards. A confined file is held
    open, and has a path that leads to it whatever happens to its name."""
    opened = Path(f"/proc/{os.getpid()}/fd")  # on Linux; the process that decodes it can open these, too
    if inside_of(address) is not None and opened.is_dir():
        with _stream(address) as stream:
            yield opened / str(stream.fileno())
        return
    if "://" not in address:
        path = Path(address)
        try:
            there = path.is_file()
        except OSError as error:  # a name that is too long, a folder that may not be entered
            raise UnreadableMedia(f"{address} cannot be read: {error.strerror}") from error
        if not there:
            raise MissingMedia(f"{address} does not exist")
        yield path
        return
    with _stream(address) as stream, tempfile.NamedTemporaryFile(suffix=Path(_name(address)).suffix) as copy:
        left = MAX_VIDEO_BYTES + 1
        while left > 0 and (block := stream.read(min(left, 2**20))):
            copy.write(block)
            left -= len(block)
        copy.flush()
        yield Path(copy.name)


def _digest_of_image(image: "Image", hashed: Callable[[int], bool]) -> Digest:
    head = f"P6\n{image.width} {image.height}\n255\n".encode()
    size = len(head) + 3 * image.width * image.height
    return Digest(size, hashlib.sha256(head + image.tobytes()).hexdigest() if hashed(size) else None)


def _digest_of_file(path: Path, name: str, hashed: Callable[[int], bool]) -> Digest:
    try:
        with path.open("rb") as stream:
            size = os.fstat(stream.fileno()).st_size
            return Digest(size, hashlib.file_digest(stream, "sha256").hexdigest() if hashed(size) else None)
    except OSError as error:
        raise UnreadableMedia(f"{name} cannot be read: {error.strerror}") from error

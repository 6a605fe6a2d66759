"""Opens images and videos: takes an address, returns pixels; every failure is a typed ItemError.

Images are decoded in this process (`savs.data.images`), videos in processes of their own
(`savs.data.video`). Nothing is resized: the processor applies the pixel budgets.
"""

import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, TYPE_CHECKING

from savs.data.confined import inside_of
from savs.data.containers.contained import ContainedPath
from savs.data.containers.media import open_contained
from savs.data.images import convert_image, decode_image
from savs.data.memory import ImageInMemory
from savs.data.space import Reserve, one_item
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
from savs.storage.folder import LocalStore
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
    reserve: Reserve = one_item,
) -> "tuple[Image | Video, Digest]":
    """Like `open_media`, with the digest of the bytes, which are fetched once.

    hashed   takes the number of bytes, returns whether their sha256 is needed
    timings  receives the stages `fetch` and `decode`; a local video is read while it is decoded
    reserve  is asked for memory before anything is decoded
    """
    name, timings = _name(address), timings or Timings()
    if isinstance(address, ImageInMemory):
        with timings.stage("decode"):
            image = convert_image(address.image, "the image in memory", reserve)
            return image, _digest_of_image(image, hashed)
    if is_video(address):
        with ExitStack() as held:
            with timings.stage("fetch"):
                path, file = held.enter_context(_local_file(address))
            with timings.stage("decode"):
                video = read_video(path, file, sampling, name, reserve)
                return video, _digest_of_file(file, name, hashed)
    with timings.stage("fetch"), _stream(address) as stream:
        data = read_bytes(stream, name)
    with timings.stage("decode"):
        sha256 = hashlib.sha256(data).hexdigest() if hashed(len(data)) else None
        image, notes = decode_image(data, name, reserve)
        return image, Digest(len(data), sha256, notes)


def hash_media(address: str) -> Digest:
    """Return the size and sha256 of the bytes at `address`, which are not decoded. Raises MissingMedia,
    ForbiddenMedia or UnreadableMedia."""
    name, digest, size = _name(address), hashlib.sha256(), 0
    try:
        with _stream(address) as stream:
            while block := stream.read(BLOCK_BYTES):
                digest.update(block)
                size += len(block)
    except OSError as error:
        raise UnreadableMedia(f"{name} cannot be read: {error.strerror}") from error
    return Digest(size, digest.hexdigest())


def copy_media(address: str, file: IO[bytes]) -> None:
    """Write the bytes at `address` into a file; they are not decoded. Raises as `hash_media`."""
    try:
        with _stream(address) as stream:
            shutil.copyfileobj(stream, file, BLOCK_BYTES)
    except OSError as error:
        raise UnreadableMedia(f"{_name(address)} cannot be read: {error.strerror}") from error


def read_bytes(stream: IO[bytes], name: str) -> bytes:
    """All bytes of an image. Raises UnreadableMedia if there are no bytes, and MediaTooLarge."""
    # In blocks, because `read(n)` may allocate memory for n bytes at once.
    blocks, left = [], MAX_IMAGE_BYTES + 1
    try:
        while left > 0 and (block := stream.read(min(left, BLOCK_BYTES))):
            blocks.append(block)
            left -= len(block)
    except OSError as error:
        raise UnreadableMedia(f"{name} cannot be read: {error.strerror}") from error
    data = b"".join(blocks)
    if not data:
        raise UnreadableMedia(f"{name} is empty")
    if len(data) > MAX_IMAGE_BYTES:
        raise MediaTooLarge(f"{name} has more than {MAX_IMAGE_BYTES} bytes")
    return data


def read_video(path: Path, file: IO[bytes], sampling: FrameSampling, name: str, reserve: Reserve) -> Video:
    """Return the frames that `sampling` chooses of the video at `path`, which is also open as `file`."""
    size = os.fstat(file.fileno()).st_size
    if size == 0:
        raise UnreadableMedia(f"{name} is empty")
    if size > MAX_VIDEO_BYTES:
        raise MediaTooLarge(f"{name} has more than {MAX_VIDEO_BYTES} bytes")
    try:
        file.seek(0)
        head = file.read(HEAD_BYTES)
    except OSError as error:
        raise UnreadableMedia(f"{name} cannot be read: {error.strerror}") from error
    if not holds_frames(head):
        raise UnreadableMedia(f"{name} is not a video of a known container")
    try:
        return DECODERS.read(path, sampling, reserve=reserve)
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
    if isinstance(address, ContainedPath):
        with open_contained(address) as stream:
            yield stream
        return
    try:
        store, key = open_parent(address, inside_of(address), pipes=False)
        stream = store.open(key)
    except OutsideLink as error:
        raise ForbiddenMedia(str(error)) from error
    except NotFound as error:
        raise MissingMedia(f"{address} does not exist") from error
    except StorageError as error:
        raise UnreadableMedia(str(error)) from error
    with stream:
        # Files of /proc that wait, or that fail when they are read, have no size.
        if isinstance(store, LocalStore) and os.fstat(stream.fileno()).st_size == 0:
            raise UnreadableMedia(f"{address} is empty")
        yield stream


@contextmanager
def _local_file(address: str) -> Iterator[tuple[Path, IO[bytes]]]:
    """Yield the path of the file itself if it is local, else of a copy that is deleted afterwards, and the
    file open. The path of a confined file leads to it whatever happens to its name."""
    with _stream(address) as stream:
        if "://" not in address and not isinstance(address, ContainedPath):
            opened = Path(f"/proc/{os.getpid()}/fd/{stream.fileno()}")  # on Linux
            by_number = inside_of(address) is not None and opened.exists()
            yield opened if by_number else Path(address), stream
            return
        with tempfile.NamedTemporaryFile(suffix=Path(_name(address)).suffix) as copy:
            left = MAX_VIDEO_BYTES + 1
            while left > 0 and (block := stream.read(min(left, 2**20))):
                copy.write(block)
                left -= len(block)
            copy.flush()
            yield Path(copy.name), copy.file


def _digest_of_image(image: "Image", hashed: Callable[[int], bool]) -> Digest:
    head = f"P6\n{image.width} {image.height}\n255\n".encode()
    size = len(head) + 3 * image.width * image.height
    return Digest(size, hashlib.sha256(head + image.tobytes()).hexdigest() if hashed(size) else None)


def _digest_of_file(stream: IO[bytes], name: str, hashed: Callable[[int], bool]) -> Digest:
    try:
        size = os.fstat(stream.fileno()).st_size
        if not hashed(size):
            return Digest(size)
        stream.seek(0)
        return Digest(size, hashlib.file_digest(stream, "sha256").hexdigest())  # type: ignore[arg-type]
    except OSError as error:
        raise UnreadableMedia(f"{name} cannot be read: {error.strerror}") from error

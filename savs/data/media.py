"""Opens images and videos: takes an address, returns pixels; every failure is a typed ItemError.

Pillow reads images, as RGB with their EXIF orientation applied. decord reads videos, only the frames
that are requested, together with their positions in the video. This module does not resize anything:
the processor applies the pixel budgets.
"""

import hashlib
import math
import os
import tempfile
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING

from savs.data.containers import HEAD_BYTES, holds_frames
from savs.data.web import Patience, fetch, is_web, shown
from savs.errors import (
    ItemError,
    MediaTooLarge,
    MissingMedia,
    NotFound,
    NoVideoSupport,
    StorageError,
    UnreadableMedia,
)
from savs.storage import open_parent
from savs.timings import Timings

if TYPE_CHECKING:
    import numpy as np
    from PIL.Image import Image

BLOCK_BYTES = 2**18
MAX_IMAGE_BYTES = 256 * 2**20
MAX_IMAGE_PIXELS = 64_000_000
MAX_VIDEO_BYTES = 8 * 2**30
WEB_VIDEO_SECONDS = 600.0  # to fetch a video from the web
MAX_VIDEO_FRAMES = 768  # frames passed to the model; Qwen's own limit
QWEN_MIN_FRAMES = 4  # of a video that is sampled by rate, if it has that many; Qwen's own limit
IMAGE_FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF", "PPM", "JPEG2000")
VIDEO_SUFFIXES = (".mp4", ".avi", ".mov", ".mkv", ".webm", ".m4v")


@dataclass(frozen=True)
class FrameSampling:
    """Which frames of a video are shown: `frames` of them, or `fps` per second. One of the two.

    By number: evenly spaced from the first to the last frame, as published for LLaVA-OneVision. By
    rate: evenly spaced from the first frame on, and an even number of frames, like Qwen2-VL's own
    sampling. If a video has too few frames, some are shown twice.
    """

    frames: int | None = 16
    fps: float | None = None

    def __post_init__(self) -> None:
        if (self.frames is None) == (self.fps is None):
            raise ValueError("give either a number of frames or frames per second")
        if not 0 < (self.frames or self.fps or 0) < math.inf:
            raise ValueError("frames and fps must be greater than zero, and finite")

    def indices(self, total: int, fps: float) -> list[int]:
        """Frame numbers, ascending, for a video of `total` frames at `fps` frames a second."""
        if self.frames is not None:
            last = min(self.frames, MAX_VIDEO_FRAMES) - 1
            # The published code's numpy.linspace(0, total - 1, frames, dtype=int), which rounds down.
            return [int(i * ((total - 1) / last)) for i in range(last)] + [total - 1] if last else [0]
        assert self.fps is not None
        count = int(min(max(total / fps * self.fps, QWEN_MIN_FRAMES), total, MAX_VIDEO_FRAMES))
        count = max(count - count % 2, 2)  # video towers merge frames two by two
        return [i * total // count for i in range(count)]


@dataclass(frozen=True)
class Video:
    """Frames taken from a video.

    frames   uint8 [T, height, width, 3], RGB
    indices  T frame numbers in the video, from 0
    fps      frames per second of the video, not of the T frames
    total    frames in the video
    """

    frames: "np.ndarray"
    indices: tuple[int, ...]
    fps: float
    total: int

    @property
    def duration(self) -> float:
        """Seconds."""
        return self.total / self.fps


@dataclass(frozen=True)
class Digest:
    """Identifies the bytes of an image or a video: their number, and their sha256 as hexadecimal
    digits, or None if it was not requested."""

    size: int
    sha256: str | None = None


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
        return decode_image(data, name), Digest(len(data), sha256)


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


def decode_image(data: bytes, name: str) -> "Image":
    """The image that `data` encodes: RGB, with its EXIF orientation applied."""
    import io

    import numpy as np
    from PIL import Image, ImageOps, UnidentifiedImageError

    Image.init()  # registers every format, which `formats=` requires
    # Pillow warns before it reports an image's size; the limit below is stricter and raises an error.
    warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)
    try:
        with Image.open(io.BytesIO(data), formats=IMAGE_FORMATS) as image:
            width, height = image.size
            if width * height > MAX_IMAGE_PIXELS:
                raise MediaTooLarge(
                    f"{name} has {width} × {height} pixels; at most {MAX_IMAGE_PIXELS} are decoded"
                )
            image.load()
            ImageOps.exif_transpose(image, in_place=True)
            if image.mode.startswith("I;16") or (image.mode, image.format) == ("I", "PPM"):
                # 16-bit grey: keep the upper byte; `convert` would clip all but the darkest to white
                return Image.fromarray((np.asarray(image) >> 8).astype(np.uint8)).convert("RGB")
            return image.convert("RGB")
    except ItemError:
        raise
    except UnidentifiedImageError as error:
        raise UnreadableMedia(f"{name} is not an image of a known format") from error
    except Image.DecompressionBombError as error:
        raise MediaTooLarge(f"{name}: {error}") from error
    except Exception as error:  # Pillow's decoders raise almost anything on hostile bytes
        raise UnreadableMedia(f"{name} cannot be decoded: {error or type(error).__name__}") from error


def read_video(path: Path, sampling: FrameSampling, name: str) -> Video:
    """The frames of the video file at `path` that `sampling` chooses."""
    try:
        import decord
    except ImportError as error:
        raise NoVideoSupport(
            f"{name} is a video; videos need decord, which has no package for this platform"
        ) from error
    size = path.stat().st_size
    if size == 0:
        raise UnreadableMedia(f"{name} is empty")
    if size > MAX_VIDEO_BYTES:
        raise MediaTooLarge(f"{name} has more than {MAX_VIDEO_BYTES} bytes")
    with path.open("rb") as stream:
        if not holds_frames(stream.read(HEAD_BYTES)):
            raise UnreadableMedia(f"{name} is not a video of a known container")
    try:
        reader = decord.VideoReader(str(path), ctx=decord.cpu(0), num_threads=1)
        total, fps = len(reader), float(reader.get_avg_fps())
        if total < 1 or not fps > 0:
            raise UnreadableMedia(f"{name} has no frames")
        height, width, _ = reader[0].shape
        if height * width > MAX_IMAGE_PIXELS:
            raise MediaTooLarge(f"{name} has frames of {width} × {height} pixels")
        indices = sampling.indices(total, fps)
        frames = reader.get_batch(indices).asnumpy()
    except ItemError:
        raise
    except Exception as error:  # decord raises its own error types and plain RuntimeError
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise UnreadableMedia(f"{name} cannot be decoded as a video: {reason}") from error
    return Video(frames, tuple(indices), fps, total)


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
        store, key = open_parent(address)
        stream = store.open(key)
    except NotFound as error:
        raise MissingMedia(f"{address} does not exist") from error
    except StorageError as error:
        raise UnreadableMedia(str(error)) from error
    with stream:
        yield stream


@contextmanager
def _local_file(address: str) -> Iterator[Path]:
    """Yield the file itself if it is local, else a copy that is deleted afterwards."""
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


def _digest_of_file(path: Path, name: str, hashed: Callable[[int], bool]) -> Digest:
    try:
        with path.open("rb") as stream:
            size = os.fstat(stream.fileno()).st_size
            return Digest(size, hashlib.file_digest(stream, "sha256").hexdigest() if hashed(size) else None)
    except OSError as error:
        raise UnreadableMedia(f"{name} cannot be read: {error.strerror}") from error

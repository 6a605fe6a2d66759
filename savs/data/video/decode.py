"""The chosen frames of a video file, decoded.

decord decodes if its frames are proven to be those that a player shows: a constant rate, as many packets as
shown frames, in the order in which they are shown. It counts packets, follows decoding order and assumes the
average rate, so everything else is decoded by PyAV: trims, edit lists, B-frames, variable rates, rotated
videos, and codecs that decord does not have. On such proven files both give the same pixels.
"""

import errno
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from savs.data.space import PIXEL_BYTES
from savs.data.video.index import VideoIndex, read_index, video_stream
from savs.data.video.sampling import FrameSampling, Video
from savs.errors import ItemError, MediaTooLarge, NoVideoSupport, UnreadableMedia

if TYPE_CHECKING:
    import numpy as np
    from av import VideoFrame

MAX_FRAME_PIXELS = 64_000_000
SPARE_FRAMES = 10_000  # that a duration may promise beyond the packets: sound may last longer
DECORD_WIDTH = 80  # pixels; it refuses narrower videos


class NoSpace(Exception):
    """The caller has no memory for the frames now."""


class _Misplaced(Exception):
    """A frame that the index lists is not decoded."""


class _Allowance:
    """The bytes that the caller has memory for. `allow` is asked for more and returns whether there is."""

    def __init__(self, allow: Callable[[int], bool]) -> None:
        self.allow, self.granted = allow, 0

    def check(self, width: int, height: int, frames: int) -> None:
        """Raises MediaTooLarge, and NoSpace if there is no memory for so many frames of this size."""
        if width * height > MAX_FRAME_PIXELS:
            raise MediaTooLarge(
                f"has frames of {width} × {height} pixels; at most {MAX_FRAME_PIXELS} are read"
            )
        needed = PIXEL_BYTES * width * height * frames
        if needed > self.granted:
            if not self.allow(needed):
                raise NoSpace
            self.granted = needed


def read_video(
    path: Path, sampling: FrameSampling, allow: Callable[[int], bool] = lambda size: True
) -> Video:
    """Return the frames of the video file at `path` that `sampling` chooses.

    allow  is called with the bytes of these frames before they are decoded; returns whether they may be

    Raises UnreadableMedia, MediaTooLarge or NoVideoSupport, with a reason that does not name the file; and
    NoSpace if `allow` returned False.
    """
    try:
        import av
    except ImportError as error:
        raise NoVideoSupport("is a video; to read these, install PyAV: pip install av") from error
    try:
        index, allowance = read_index(path), _Allowance(allow)
        try:
            return _read(path, sampling, index, allowance)
        except _Misplaced:
            index = read_index(path, by_decoding=True)
            return _read(path, sampling, index, allowance)
    except _Misplaced as error:
        raise UnreadableMedia("its frames cannot be decoded twice in the same order") from error
    except ItemError:
        raise
    except av.FFmpegError as error:
        if error.errno == errno.ENOMEM:
            raise MemoryError from error
        raise UnreadableMedia(_reason(error)) from error


def _reason(error: Exception) -> str:
    """The reason in an FFmpeg error, without addresses and numbers of this machine."""
    return str(getattr(error, "strerror", None) or type(error).__name__).splitlines()[0].lower()


def _read(path: Path, sampling: FrameSampling, index: VideoIndex, allowance: _Allowance) -> Video:
    total, fps = len(index.ticks), index.constant_fps()
    if fps is not None:
        chosen, times = sampling.indices(total, fps), None
    else:
        chosen = sampling.indices_at(index.ticks, index.end, index.duration)
        times = tuple(index.seconds(number) for number in chosen)
    allowance.check(index.width, index.height, len(chosen))
    frames = None if fps is None else _by_decord(path, index, chosen)
    if frames is None:
        frames = _by_pyav(path, index, chosen, allowance)
    return Video(frames, tuple(chosen), fps or index.mean_fps, total, times)


def _by_decord(path: Path, index: VideoIndex, chosen: Sequence[int]) -> "np.ndarray | None":
    """Return None unless decord's frames are proven to be those of the index."""
    if not (index.ordered and index.packets == len(index.ticks)):
        return None
    if index.width < DECORD_WIDTH or index.rotation:
        return None
    # decord allocates memory for each frame that the header lets it expect, and aborts if there is none.
    if index.declared > 2 * index.packets + SPARE_FRAMES:
        return None
    with suppress(Exception):  # not installed; or whatever decord raises, and PyAV then names the fault
        import decord

        reader = decord.VideoReader(str(path), ctx=decord.cpu(0), num_threads=1)
        if len(reader) == len(index.ticks):
            frames: np.ndarray = reader.get_batch(list(chosen)).asnumpy()
            return frames
    return None


def _by_pyav(path: Path, index: VideoIndex, chosen: Sequence[int], allowance: _Allowance) -> "np.ndarray":
    """uint8 [chosen, height, width, 3]. Raises _Misplaced if a chosen frame is not decoded."""
    import av
    import numpy as np

    def pixels(frame: "VideoFrame") -> np.ndarray:
        allowance.check(frame.width, frame.height, len(chosen))  # a container may declare any size
        return _pixels(frame)

    frames: dict[int, np.ndarray] = {}
    with av.open(str(path)) as container:
        stream = video_stream(container)
        wanted = sorted(set(chosen))
        if not index.keys:
            frames = _by_order(container.decode(stream), wanted, pixels)
        position: int | None = None
        for number in wanted if index.keys else ():
            target = index.ticks[number]
            key = index.keys[max(bisect_right(index.keys, target) - 1, 0)]
            if position is None or key > position:
                if number:
                    container.seek(key, stream=stream, backward=True)
                decoded = container.decode(stream)
            for frame in decoded:
                position = frame.pts
                if frame.pts == target:
                    frames[number] = pixels(frame)
                    break
                if frame.pts is None or frame.pts > target:
                    raise _Misplaced
            if number not in frames:
                raise _Misplaced
    if len({frame.shape for frame in frames.values()}) > 1:
        raise UnreadableMedia("its frames change their size")
    return np.stack([frames[number] for number in chosen])


def _by_order(
    decoded: "Iterator[VideoFrame]", wanted: Sequence[int], pixels: "Callable[[VideoFrame], np.ndarray]"
) -> "dict[int, np.ndarray]":
    """The frames of those numbers, ascending, from a decoding that began at the beginning."""
    left, frames = set(wanted), {}
    for number, frame in enumerate(decoded):
        if number in left:
            frames[number] = pixels(frame)
            left.remove(number)
            if not left:
                return frames
    raise _Misplaced


def _pixels(frame: "VideoFrame") -> "np.ndarray":
    """uint8 [height, width, 3], upright."""
    import numpy as np

    return np.rot90(frame.to_ndarray(format="rgb24"), frame.rotation // 90)

"""Which frames of a video are shown, and the frames themselves with their true times."""

import bisect
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

MAX_VIDEO_FRAMES = 768  # frames that are handed to the model; Qwen's own limit
QWEN_MIN_FRAMES = 4  # of a video that is sampled by rate, if it has as many; Qwen's own limit


@dataclass(frozen=True)
class FrameSampling:
    """Which frames of a video are shown: `frames` of them, or `fps` per second. One of the two.

    By number: from the first to the last frame, evenly by their order, as published for LLaVA-OneVision.
    By rate: from the first frame on at even distances in time, and an even number of them, as in Qwen2-VL's
    own sampling. If a video has too few frames, some are shown twice.
    """

    frames: int | None = 16
    fps: float | None = None

    def __post_init__(self) -> None:
        if (self.frames is None) == (self.fps is None):
            raise ValueError("give either a number of frames or frames per second")
        if not 0 < (self.frames or self.fps or 0) < math.inf:
            raise ValueError("frames and fps must be greater than zero, and finite")

    def indices(self, total: int, fps: float) -> list[int]:
        """Frame numbers, ascending, for a video of `total` frames at a constant rate of `fps` per second."""
        if self.frames is not None:
            last = min(self.frames, MAX_VIDEO_FRAMES) - 1
            # The published code's numpy.linspace(0, total - 1, frames, dtype=int), which rounds down.
            return [int(i * ((total - 1) / last)) for i in range(last)] + [total - 1] if last else [0]
        count = self._count(total, total / fps)
        return [i * total // count for i in range(count)]

    def indices_at(self, ticks: Sequence[int], end: int, duration: float) -> list[int]:
        """Frame numbers, ascending, for a video whose frames are shown from `ticks` on, ascending; the last
        one until `end`. `duration` is the seconds from the first tick to `end`.

        By rate, the frame that is on the screen at each chosen moment.
        """
        if self.frames is not None:
            return self.indices(len(ticks), 1.0)
        count, first = self._count(len(ticks), duration), ticks[0]
        moments = (first + i * (end - first) // count for i in range(count))
        return [bisect.bisect_right(ticks, moment) - 1 for moment in moments]

    def _count(self, total: int, duration: float) -> int:
        assert self.fps is not None
        count = int(min(max(duration * self.fps, QWEN_MIN_FRAMES), total, MAX_VIDEO_FRAMES))
        return max(count - count % 2, 2)  # video towers merge frames two by two


@dataclass(frozen=True)
class Video:
    """Frames taken from a video.

    frames   uint8 [T, height, width, 3], RGB
    indices  T frame numbers in the video, from 0, in the order in which a player shows them
    fps      frames per second of the video, not of the T frames; of a variable rate, the mean
    total    frames that a player shows
    times    T seconds from the first frame, at a variable rate; None if they are `indices` / `fps`
    """

    frames: "np.ndarray"
    indices: tuple[int, ...]
    fps: float
    total: int
    times: tuple[float, ...] | None = None

    @property
    def duration(self) -> float:
        """Seconds."""
        return self.total / self.fps

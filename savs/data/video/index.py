"""The frames of a video as a player shows them, read from its container without decoding it.

A container lists packets, in decoding order. Which frames a player shows, in which order and when, follows
from their presentation times and from the packets that an edit list discards. So the packets are read once
(PyAV, FFmpeg's demuxer), and frames are chosen from the result.

If the packets do not tell (AVI stores no presentation times, some streams have none, VP8 has hidden frames),
the video is decoded once from beginning to end, and its frames are listed.
"""

import math
from contextlib import suppress
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

from savs.data.video.containers import codec_name
from savs.errors import UnreadableMedia

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.video.stream import VideoStream

ROUNDING = Fraction(1, 1000)  # seconds; Matroska stores milliseconds, and files are converted from it
SAME_RATE = 0.001  # relative difference of two frame rates below which they are the same
MICROSECONDS = 1_000_000  # in a second; the unit of a container's duration
VP8_SHOWN = 0x10  # a bit of a VP8 packet's first byte (RFC 6386, 9.1)


@dataclass(frozen=True)
class VideoIndex:
    """The frames that a player shows.

    ticks    when each of them appears, ascending, in units of `base`
    end      when the last of them disappears
    base     seconds per tick
    keys     ticks at which decoding can start, ascending; empty if it must start at the beginning
    packets  all packets of the stream, discarded ones included
    declared  frames that the container's header lets one expect; a hostile file says anything
    ordered  whether the packets come in the order in which their frames are shown
    width, height  in pixels, before rotation
    rate     frames per second as the container states it; None if it does not
    rotation  degrees, counterclockwise, by which frames are turned to be shown
    """

    ticks: tuple[int, ...]
    end: int
    base: Fraction
    keys: tuple[int, ...]
    packets: int
    declared: int
    ordered: bool
    width: int
    height: int
    rate: Fraction | None
    rotation: int

    @property
    def duration(self) -> float:
        """Seconds from the first frame to the end of the last."""
        return float((self.end - self.ticks[0]) * self.base)

    @property
    def mean_fps(self) -> float:
        """Frames per second."""
        return len(self.ticks) / self.duration

    def constant_fps(self) -> float | None:
        """Frames per second if the rate is constant, up to the rounding of times; else None."""
        count, span = len(self.ticks) - 1, self.ticks[-1] - self.ticks[0]
        if not count:
            return float(self.rate or 1 / (self.duration or 1.0))
        rounding = int(max(Fraction(1), ROUNDING / self.base) * count)
        if any(
            abs((tick - self.ticks[0]) * count - i * span) > rounding for i, tick in enumerate(self.ticks)
        ):
            return None
        fps = count / float(span * self.base)
        # The container's own figure is exact, as 30000/1001, where times in milliseconds are not.
        return float(self.rate) if self.rate and abs(self.rate / fps - 1) < SAME_RATE else fps

    def seconds(self, number: int) -> float:
        """Seconds from the first frame to the frame of that number."""
        return float((self.ticks[number] - self.ticks[0]) * self.base)


def read_index(path: Path, *, by_decoding: bool = False) -> VideoIndex:
    """Return the index of the video file at `path`.

    by_decoding  do not trust the packets; decode the whole video

    Raises UnreadableMedia, and FFmpeg's errors (`av.FFmpegError`).
    """
    import av

    with av.open(str(path)) as container:
        stream = video_stream(container)
        found = None if by_decoding else _index_of_packets(container, stream)
    if found is not None:
        return found
    with av.open(str(path)) as container:
        return _index_of_frames(container, video_stream(container))


def video_stream(container: "InputContainer") -> "VideoStream":
    """Return the first video stream that is not a cover image. Raises UnreadableMedia."""
    import av

    pictures = av.stream.Disposition.attached_pic
    streams = [one for one in container.streams.video if not one.disposition & pictures]
    if not streams:
        raise UnreadableMedia("no video stream")
    stream = streams[0]
    if stream.codec_context is None:
        name = codec_name(Path(container.name))
        raise UnreadableMedia(f"its codec {name!r} is not supported")
    return stream


def _index_of_packets(container: "InputContainer", stream: "VideoStream") -> VideoIndex | None:
    """Return None if the packets do not tell which frames are shown."""
    context = stream.codec_context
    shown: list[tuple[int, int]] = []  # tick, duration
    keys: list[int] = []
    packets, ordered = 0, True
    rotation: int | None = None
    for packet in container.demux(stream):
        if packet.size == 0:  # the demuxer's mark of the end
            continue
        packets += 1
        if rotation is None:
            rotation = _rotation(packet)
        hidden = context.name in ("vp8", "libvpx") and not bytes(packet)[0] & VP8_SHOWN
        if packet.is_discard or hidden:
            keys += [packet.pts] if packet.is_keyframe and packet.pts is not None else []
            continue
        if packet.pts is None:
            return None
        if packet.is_keyframe:
            keys.append(packet.pts)
        if not keys or (packet.pts < keys[0] and not packet.is_keyframe):
            continue  # needs frames that the file does not hold, as at the start of a cut
        ordered = ordered and (not shown or packet.pts > shown[-1][0])
        shown.append((packet.pts, packet.duration or 0))
    shown.sort()
    ticks = tuple(tick for tick, _ in shown)
    if not ticks or len(set(ticks)) < len(ticks):
        return None
    if container.format.name == "avi" and len(keys) < packets:  # the times are those of decoding
        return None
    return _index(stream, ticks, shown[-1][1], tuple(sorted(keys)), packets, ordered, rotation or 0)


def _index_of_frames(container: "InputContainer", stream: "VideoStream") -> VideoIndex:
    ticks: list[int] = []
    step = rotation = 0
    for frame in container.decode(stream):
        rotation = rotation or frame.rotation
        step = frame.duration or step
        if frame.pts is None or (ticks and frame.pts <= ticks[-1]):
            ticks.append(ticks[-1] + max(step, 1) if ticks else 0)
        else:
            ticks.append(frame.pts)
    if not ticks:
        raise UnreadableMedia("no frames")
    if container.format.name == "avi" and stream.average_rate and stream.time_base:  # has a rate, no times
        step = max(round(1 / (stream.average_rate * stream.time_base)), 1)
        ticks = [step * number for number in range(len(ticks))]
    return _index(stream, tuple(ticks), step, (), 0, False, rotation)


def _declared(stream: Any) -> int:
    """The frames that the container's header lets one expect, by its duration if it states no number."""
    if stream.frames > 0:
        return int(stream.frames)
    return math.ceil((stream.container.duration or 0) * (stream.average_rate or 0) / MICROSECONDS)


def _rotation(packet: Any) -> int | None:
    """Return the rotation of the first frame that the packet completes; None if it completes none."""
    import av

    with suppress(av.FFmpegError):  # decoding will report it, if it matters
        for frame in packet.decode():
            return int(frame.rotation)
    return None


def _index(
    stream: Any,
    ticks: tuple[int, ...],
    last: int,
    keys: tuple[int, ...],
    packets: int,
    ordered: bool,
    rotation: int,
) -> VideoIndex:
    """`last` is the duration of the last frame; if it is not known, the time between the two before it."""
    if not last:
        last = ticks[-1] - ticks[-2] if len(ticks) > 1 else 0
    if not last and stream.average_rate:
        last = round(1 / (stream.average_rate * stream.time_base))
    context = stream.codec_context
    return VideoIndex(
        ticks,
        ticks[-1] + max(int(last), 1),
        Fraction(stream.time_base),
        keys,
        packets,
        _declared(stream),
        ordered,
        context.width,
        context.height,
        Fraction(stream.average_rate) if stream.average_rate else None,
        rotation,
    )

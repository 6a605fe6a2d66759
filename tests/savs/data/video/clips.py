"""Video files of every structure that users have. Each frame carries its number, for tests to read."""

import struct
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

WIDTH, HEIGHT, BITS = 128, 96, 8
RATE = 25
LOSSLESS = {"qp": "0", "preset": "ultrafast"}
REORDERED = {"preset": "medium", "qp": "4", "x264-params": "bframes=3:b-adapt=0:scenecut=0"}
OPEN_GROUPS = {
    **{"preset": "medium", "qp": "4"},
    "x264-params": "open-gop=1:keyint=12:min-keyint=6:bframes=3:scenecut=0:b-adapt=0",
}
MILLISECONDS = Fraction(1, 1000)
STILL_THEN_FAST = [1000 * i for i in range(10)] + [9000 + 33 * (i + 1) for i in range(30)]  # ms


def numbered(number: int, width: int = WIDTH, height: int = HEIGHT) -> np.ndarray:
    """uint8 [height, width, 3]: a frame with its number in eight bright or dark squares at the top."""
    pixels = np.full((height, width, 3), 90, np.uint8)
    square = width // BITS
    for bit in range(BITS):
        pixels[: height // 3, bit * square : (bit + 1) * square] = 235 if number >> bit & 1 else 20
    return pixels


def number_of(pixels: np.ndarray) -> int:
    """The number that a frame carries."""
    height, square = pixels.shape[0] // 3, pixels.shape[1] // BITS
    inner = slice(height // 4, 3 * height // 4)
    means = [
        pixels[inner, bit * square + square // 4 : (bit + 1) * square - square // 4].mean()
        for bit in range(BITS)
    ]
    return sum(1 << bit for bit, mean in enumerate(means) if mean > 120)


def write(
    path: Path,
    frames: Sequence[int] = range(60),
    codec: str = "libx264",
    times: Sequence[int] | None = None,
    options: dict[str, str] | None = None,
    gop: int | None = None,
    b_frames: int | None = None,
    pixels: str = "yuv420p",
    size: tuple[int, int] = (WIDTH, HEIGHT),
    mux: dict[str, str] | None = None,
) -> Path:
    """A video of those frames; `times` in milliseconds, by default 25 a second."""
    import av

    with av.open(str(path), "w", options=mux or {}) as container:
        own = (LOSSLESS if codec == "libx264" else {}) | (options or {})
        stream: Any = container.add_stream(codec, rate=RATE, options=own)
        stream.width, stream.height, stream.pix_fmt = *size, pixels
        if gop is not None:
            stream.gop_size = gop
        if b_frames is not None:
            stream.max_b_frames = b_frames
        if times is not None:
            stream.codec_context.time_base = MILLISECONDS
        for place, number in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(numbered(number, *size), format="rgb24")
            if times is not None:
                frame.pts, frame.time_base = times[place], MILLISECONDS
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def plain(path: Path, frames: Sequence[int] = range(60)) -> Path:
    """The same frames with nothing to get wrong: every one a key frame, at a constant rate."""
    return write(path, frames, gop=1, b_frames=0)


def remux(source: Path, target: Path, keep: Callable[[int, Any], int | None]) -> Path:
    """Copies packets without decoding; `keep` gives a packet's shift in ticks, or None to drop it."""
    import av

    with av.open(str(source)) as given, av.open(str(target), "w") as container:
        stream = given.streams.video[0]
        copy = container.add_stream_from_template(stream)
        for number, packet in enumerate(packet for packet in given.demux(stream) if packet.dts is not None):
            shift = keep(number, packet)
            if shift is not None:
                packet.pts -= shift
                packet.dts -= shift
                packet.stream = copy
                container.mux(packet)
    return target


def trimmed(source: Path, target: Path, first: int) -> Path:
    """A trim without re-encoding: an edit list hides what comes before frame `first`."""
    return remux(source, target, lambda _, packet: int(Fraction(first, RATE) / packet.time_base))


def cut(source: Path, target: Path, packets: int) -> Path:
    """A cut in the middle: the first packets are missing."""
    return remux(source, target, lambda number, _: None if number < packets else 0)


def turned(source: Path, target: Path, degrees: int) -> Path:
    """An MP4 whose track says that it is shown turned by 90, 180 or 270 degrees, clockwise."""
    one = 1 << 16
    a, b, c, d = {90: (0, one, -one, 0), 180: (-one, 0, 0, -one), 270: (0, -one, one, 0)}[degrees]
    straight = struct.pack(">9i", one, 0, 0, 0, one, 0, 0, 0, 1 << 30)
    data = bytearray(source.read_bytes())
    at = data.index(straight, data.index(b"tkhd"))
    data[at : at + 36] = struct.pack(">9i", a, b, 0, c, d, 0, 0, 0, 1 << 30)
    target.write_bytes(data)
    return target


def every_structure(folder: Path) -> dict[str, Path]:
    """Name → file. All but the last of each kind hold what their name says and nothing else that is odd."""
    long = write(folder / "long.mp4", range(200), gop=250, b_frames=3, options=REORDERED)
    opened = write(folder / "open.mp4", options=OPEN_GROUPS)
    transport = write(folder / "open.ts", options=OPEN_GROUPS)
    return {
        "H.264, closed groups, B-frames (MP4)": write(
            folder / "b.mp4", gop=12, b_frames=3, options=REORDERED
        ),
        "H.264, open groups (MP4)": opened,
        "H.264, open groups, first packets missing (MP4)": cut(opened, folder / "cut.mp4", 15),
        "H.264, open groups (MPEG-TS)": transport,
        "H.264, open groups, first packets missing (MPEG-TS)": cut(transport, folder / "cut.ts", 15),
        "H.264, open groups, first packets missing (Matroska)": cut(opened, folder / "cut.mkv", 15),
        "H.264, B-frames (AVI)": write(folder / "b.avi", gop=12, b_frames=3, options=REORDERED),
        "H.264, trimmed by an edit list (MP4)": trimmed(long, folder / "trim.mp4", 150),
        "H.264, trimmed inside a group (MP4)": trimmed(
            write(folder / "g30.mp4", range(120), gop=30, b_frames=2, options=REORDERED),
            folder / "trim30.mp4",
            41,
        ),
        "H.264, variable rate (MP4)": write(folder / "v.mp4", range(40), times=STILL_THEN_FAST),
        "H.264, variable rate (Matroska)": write(folder / "v.mkv", range(40), times=STILL_THEN_FAST),
        "H.264, 10 bits (MP4)": write(folder / "10.mp4", pixels="yuv420p10le", options={"qp": "0"}),
        "H.264, 64 pixels wide (MP4)": write(folder / "narrow.mp4", size=(64, 48)),
        "H.264, fragmented (MP4)": write(
            folder / "f.mp4", gop=12, mux={"movflags": "frag_keyframe+empty_moov"}
        ),
        "HEVC, open groups (MP4)": write(
            folder / "hevc.mp4",
            codec="libx265",
            options={"x265-params": "lossless=1:keyint=12:min-keyint=12:log-level=none"},
        ),
        "AV1 (MP4)": _av1(folder / "av1.mp4"),
        "VP8, hidden frames (WebM)": write(
            folder / "vp8.webm",
            codec="libvpx",
            options={"auto-alt-ref": "1", "lag-in-frames": "16", "crf": "4"},
        ),
        "VP9 (WebM)": write(folder / "vp9.webm", codec="libvpx-vp9", options={"crf": "5"}),
        "VP9, without duration (WebM)": write(
            folder / "live.webm", codec="libvpx-vp9", options={"crf": "5"}, mux={"live": "1"}
        ),
        "ProRes (MOV)": write(folder / "prores.mov", codec="prores_ks", pixels="yuv422p10le"),
        "MPEG-4 part 2, B-frames (AVI)": write(
            folder / "xvid.avi", codec="mpeg4", b_frames=2, options={"qscale": "2", "flags": "+qscale"}
        ),
        "MPEG-2 (MPEG)": write(folder / "mpeg2.mpg", codec="mpeg2video", b_frames=2, options={"b": "8M"}),
        "MJPEG (AVI)": write(folder / "m.avi", codec="mjpeg", pixels="yuvj420p"),
    }


def _av1(path: Path) -> Path:
    """Return the file, written by a thread of its own: run by root, SVT's encoder makes the thread that calls
    it real-time, and the threads that this one starts later are real-time, too."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(write, path, codec="libsvtav1", options={"crf": "5", "preset": "10"}).result()

"""A hostile video costs its row: what its header declares makes nobody allocate memory or end."""

import os
import struct
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from savs.data.video.decoder import KEPT_BYTES
from savs.data.video.decoder_pool import Decoders
from savs.data.video.index import read_index
from savs.data.video.sampling import FrameSampling, Video
from savs.errors import ItemError, MediaTooLarge, UnreadableMedia
from tests.savs.data.video import clips

SAMPLING = FrameSampling(4)
MANY = 0xFFFFFFFF
ASF_FILE_PROPERTIES = bytes.fromhex("A1DCAB8C47A9CF118EE400C00C205365")
MATROSKA_DURATION = bytes.fromhex("448988")  # and eight bytes follow
HOUR = 36_000_000_000  # in units of 100 ns


@pytest.fixture
def decoders() -> Iterator[Decoders]:
    pool = Decoders(most=1)
    yield pool
    pool.close()


def numbers(video: Video) -> list[int]:
    return [clips.number_of(frame) for frame in video.frames]


def avi(data: bytearray) -> None:
    struct.pack_into("<I", data, data.index(b"avih") + 8 + 16, MANY)  # dwTotalFrames
    struct.pack_into("<I", data, data.index(b"strh") + 8 + 32, MANY)  # dwLength


def mp4_times(data: bytearray) -> None:
    struct.pack_into(">I", data, data.index(b"stts") + 12, MANY)  # of the first entry: its samples


def asf_duration(data: bytearray) -> None:
    struct.pack_into("<Q", data, data.index(ASF_FILE_PROPERTIES) + 64, 10_000_000 * HOUR)


def matroska_duration(data: bytearray) -> None:
    struct.pack_into(">d", data, data.index(MATROSKA_DURATION) + 3, 1e15)


HEADERS: dict[str, tuple[str, str, Callable[[bytearray], None]]] = {
    "AVI": (".avi", "mjpeg", avi),
    "MP4": (".mp4", "mpeg4", mp4_times),
    "ASF": (".wmv", "msmpeg4v3", asf_duration),
    "Matroska": (".mkv", "mpeg4", matroska_duration),
}


def hostile(folder: Path, name: str) -> Path:
    """A video of eight frames that declares billions."""
    suffix, codec, spoil = HEADERS[name]
    pixels = "yuvj420p" if codec == "mjpeg" else "yuv420p"
    path = clips.write(folder / f"hostile{suffix}", range(8), codec=codec, pixels=pixels, gop=1, b_frames=0)
    data = bytearray(path.read_bytes())
    spoil(data)
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("name", HEADERS)
def test_billions_of_declared_frames_are_not_believed(decoders: Decoders, tmp_path: Path, name: str) -> None:
    path = hostile(tmp_path, name)
    index = read_index(path)
    assert index.declared > 2**31 and len(index.ticks) == index.packets == 8

    video = decoders.read(path, SAMPLING)

    assert numbers(video) == [0, 2, 4, 7] and video.total == 8


def test_a_table_of_billions_of_samples_fails_its_video_alone(decoders: Decoders, tmp_path: Path) -> None:
    # given a file of which FFmpeg itself would allocate a table that has an entry per declared frame
    path = clips.write(tmp_path / "samples.mp4", range(8), codec="mpeg4", gop=1)
    data = bytearray(path.read_bytes())
    mp4_times(data)
    struct.pack_into(">II", data, data.index(b"stsz") + 8, 1, 0x7FFFFFF)  # bytes of each sample; samples
    struct.pack_into(">I", data, data.index(b"stsc") + 16, 0x7FFFFFF)  # samples in a chunk
    path.write_bytes(data)

    with pytest.raises(ItemError):
        decoders.read(path, SAMPLING)

    assert numbers(decoders.read(clips.plain(tmp_path / "clip.mp4", range(8)), SAMPLING)) == [0, 2, 4, 7]


def decoder_that(does: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The next decoder process does this when it should read a video."""
    (folder / "does").mkdir()
    (folder / "does" / "av.py").write_text(does)
    monkeypatch.setenv("PYTHONPATH", str(folder / "does"), prepend=os.pathsep)


@pytest.mark.parametrize(
    ("does", "error", "reason"),
    [
        ("bytearray(2**32)", MediaTooLarge, "needs more memory than a decoder may use"),
        ("import os; os.abort()", UnreadableMedia, "its decoder crashed"),
        ("import os; os.kill(os.getpid(), 9)", UnreadableMedia, r"its decoder crashed \(SIGKILL\)"),
    ],
    ids=["memory", "abort", "kill"],
)
def test_a_decoder_that_ends_or_wants_all_memory_fails_its_video_alone(
    decoders: Decoders,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    does: str,
    error: type[ItemError],
    reason: str,
) -> None:
    clip = clips.plain(tmp_path / "clip.mp4", range(8))
    with monkeypatch.context() as changed:
        decoder_that(does, tmp_path, changed)
        with pytest.raises(error, match=reason):
            decoders.read(clip, SAMPLING)
    decoders.close()

    assert numbers(decoders.read(clip, SAMPLING)) == [0, 2, 4, 7]


def test_the_limit_grows_with_the_frames_that_are_allowed() -> None:
    program = (
        "from savs.data.video.decoder import limit_memory\n"
        "import numpy as np\n"
        "limit_memory(2**31); kept = np.empty(5 * 2**30, np.uint8); del kept\n"
        "limit_memory(0); np.empty(5 * 2**30, np.uint8)"
    )

    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)

    assert "MemoryError: " in ended.stderr and "line 4" in ended.stderr


@pytest.mark.parametrize("frames", [6, 600], ids=["small", "large"])
def test_a_video_whose_memory_is_refused_fails_alone(decoders: Decoders, tmp_path: Path, frames: int) -> None:
    clip = clips.write(tmp_path / "clip.mp4", range(8), size=(256, 192))
    asked: list[tuple[int, bool]] = []

    def refuse(size: int, wait: bool) -> bool:
        asked.append((size, wait))
        raise MediaTooLarge("is too large")

    with pytest.raises(MediaTooLarge, match="is too large"):
        decoders.read(clip, FrameSampling(frames), reserve=refuse)

    assert asked == [(frames * 3 * 256 * 192, False)]
    [process] = decoders.idle
    assert numbers(decoders.read(clip, SAMPLING)) == [0, 2, 4, 7]
    assert decoders.idle == [process]


def test_frames_that_need_memory_are_not_decoded_before_it_is_granted(
    decoders: Decoders, tmp_path: Path
) -> None:
    # given a video of more bytes than a decoder process keeps, which has read a small one before
    clip = clips.write(tmp_path / "clip.mp4", range(8), size=(256, 192))
    decoders.read(clip, SAMPLING)
    [process] = decoders.idle
    usual = most_memory(process.process.pid)
    size = 600 * 3 * 256 * 192
    assert size > KEPT_BYTES
    seen: list[int] = []

    def reserve(asked: int, wait: bool) -> bool:
        seen.append(most_memory(process.process.pid) - usual)
        return True

    decoders.read(clip, FrameSampling(600), reserve=reserve)

    assert seen[0] < size / 4 < size < most_memory(process.process.pid) - usual


def most_memory(pid: int) -> int:
    """Bytes that a process had in memory at most."""
    status = Path(f"/proc/{pid}/status").read_text()
    return 1024 * int(status.partition("VmHWM:")[2].split()[0])


@pytest.mark.parametrize("frames", [4, 600], ids=["small", "large"])
def test_who_waits_for_memory_leaves_the_process_to_others(
    decoders: Decoders, tmp_path: Path, frames: int
) -> None:
    clip = clips.write(tmp_path / "clip.mp4", range(8), size=(256, 192))
    between: list[list[int]] = []

    def reserve(size: int, wait: bool) -> bool:
        if wait:  # the only process reads another video meanwhile
            between.append(numbers(decoders.read(clip, FrameSampling(2))))
        return bool(between)

    video = decoders.read(clip, FrameSampling(frames), reserve=reserve)

    assert numbers(video) == list(video.indices) and len(video.frames) == frames
    assert between == [[0, 7]]


def test_frames_larger_than_declared_are_asked_for_as_they_are(decoders: Decoders, tmp_path: Path) -> None:
    # given a container of frames that are too small for decord, whose packets hold large ones
    small = clips.write(tmp_path / "small.avi", range(8), codec="mjpeg", pixels="yuvj420p", size=(64, 48))
    large = clips.write(tmp_path / "large.avi", range(8), codec="mjpeg", pixels="yuvj420p", size=(1920, 1080))
    path = with_packets_of(small, large, tmp_path / "grown.avi")
    asked: list[int] = []

    def reserve(size: int, wait: bool) -> bool:
        asked.append(size)
        return True

    with pytest.raises(UnreadableMedia, match="its frames change their size"):
        decoders.read(path, FrameSampling(None, 25.0), reserve=reserve)

    assert asked == [3 * 1920 * 1080 * 16]


def with_packets_of(small: Path, large: Path, target: Path) -> Path:
    """The frames of `small`, then those of `large`, in the container of the first."""
    import av

    with av.open(str(small)) as first, av.open(str(large)) as second, av.open(str(target), "w") as container:
        copy = container.add_stream_from_template(first.streams.video[0])
        number = 0
        for source in (first, second):
            for packet in source.demux(source.streams.video[0]):
                if packet.size:
                    packet.pts = packet.dts = number
                    packet.stream = copy
                    container.mux(packet)
                    number += 1
    return target

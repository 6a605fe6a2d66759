"""Decoder processes: one that hangs, crashes or is not wanted any more fails one video and nothing else."""

import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from savs.data.space import Reserve, one_item
from savs.data.video.decoder_pool import Decoders
from savs.data.video.sampling import FrameSampling, Video
from savs.errors import NoVideoSupport, UnreadableMedia
from tests.savs.data.video import clips

SAMPLING = FrameSampling(4)
PATIENCE = 60.0  # seconds


@pytest.fixture
def decoders() -> Iterator[Decoders]:
    pool = Decoders(most=2)
    yield pool
    pool.close()


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    return clips.plain(tmp_path / "clip.mp4", range(8))


@pytest.fixture
def hanging(tmp_path: Path) -> Path:
    """A file at which every reader waits for ever: a named pipe that nobody writes into."""
    os.mkfifo(tmp_path / "hang.mp4")
    return tmp_path / "hang.mp4"


def numbers(video: Video) -> list[int]:
    return [clips.number_of(frame) for frame in video.frames]


def wait_until_busy(decoders: Decoders, processes: int = 1) -> int:
    """The process id of a decoder that is at work, once so many are."""
    end = time.monotonic() + PATIENCE
    while len(decoders.busy) < processes:
        assert time.monotonic() < end
        time.sleep(0.01)
    return next(iter(decoders.busy)).process.pid


def test_a_process_is_kept_for_the_next_video(decoders: Decoders, clip: Path) -> None:
    first = decoders.read(clip, SAMPLING)
    [process] = [decoder.process.pid for decoder in decoders.idle]
    again = decoders.read(clip, SAMPLING)

    assert numbers(first) == numbers(again) == [0, 2, 4, 7]
    assert [decoder.process.pid for decoder in decoders.idle] == [process]


def test_a_video_that_hangs_costs_its_time_limit_and_the_next_one_is_read(
    decoders: Decoders, clip: Path, hanging: Path
) -> None:
    with pytest.raises(UnreadableMedia, match="decoding took longer than 1 s"):
        decoders.read(hanging, SAMPLING, seconds=1.0)

    assert numbers(decoders.read(clip, SAMPLING)) == [0, 2, 4, 7]


def test_a_decoder_that_crashes_fails_its_video_alone(decoders: Decoders, clip: Path, hanging: Path) -> None:
    found: list[Exception] = []

    def read() -> None:
        try:
            decoders.read(hanging, SAMPLING)
        except UnreadableMedia as error:
            found.append(error)

    thread = threading.Thread(target=read)
    thread.start()
    os.kill(wait_until_busy(decoders), signal.SIGSEGV)
    thread.join(PATIENCE)

    assert "its decoder crashed (SIGSEGV)" in str(found[0])
    assert numbers(decoders.read(clip, SAMPLING)) == [0, 2, 4, 7]


def test_whoever_stops_does_not_wait_for_a_video_that_hangs(decoders: Decoders, hanging: Path) -> None:
    def read() -> None:
        with pytest.raises(UnreadableMedia):
            decoders.read(hanging, SAMPLING)

    thread = threading.Thread(target=read)
    thread.start()
    wait_until_busy(decoders)

    decoders.abandon()

    thread.join(PATIENCE)
    assert not thread.is_alive()


def test_whoever_stops_leaves_the_videos_of_others_alone(
    decoders: Decoders, hanging: Path, tmp_path: Path
) -> None:
    def mine(size: int, wait: bool = True) -> bool:
        return True

    os.mkfifo(tmp_path / "other.mp4")
    found: dict[str, Video | UnreadableMedia] = {}

    def read(name: str, path: Path, reserve: Reserve) -> None:
        try:
            found[name] = decoders.read(path, SAMPLING, reserve=reserve)
        except UnreadableMedia as error:
            found[name] = error

    whole = clips.plain(tmp_path / "whole.mp4", range(8)).read_bytes()
    threads = [
        threading.Thread(target=read, args=("mine", hanging, mine)),
        threading.Thread(target=read, args=("other", tmp_path / "other.mp4", one_item)),
    ]
    for thread in threads:
        thread.start()
    wait_until_busy(decoders, 2)

    decoders.abandon(lambda reserve: reserve is mine)

    threads[0].join(PATIENCE)
    assert "SIGKILL" in str(found["mine"]) and "other" not in found
    (tmp_path / "other.mp4").write_bytes(whole)
    threads[1].join(PATIENCE)
    assert "crashed" not in str(found["other"])


def test_what_decoders_print_stays_in_their_processes(
    decoders: Decoders, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(clips.plain(tmp_path / "whole.mp4").read_bytes()[:2000])

    with pytest.raises(UnreadableMedia) as error:
        decoders.read(broken, SAMPLING)

    assert capfd.readouterr() == ("", "")
    assert "[" not in str(error.value) and str(tmp_path) not in str(error.value)


def test_without_pyav_a_video_has_no_support(
    decoders: Decoders, clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "without").mkdir()
    (tmp_path / "without" / "av.py").write_text("raise ImportError('no av here')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "without"))

    with pytest.raises(NoVideoSupport, match="pip install av"):
        decoders.read(clip, SAMPLING)


def test_processes_end_with_the_one_that_started_them(clip: Path) -> None:
    import subprocess

    program = (
        "import os, sys; from pathlib import Path; from savs.data.video.decoder_pool import DECODERS; "
        "from savs.data.video.sampling import FrameSampling; "
        f"DECODERS.read(Path({str(clip)!r}), FrameSampling(4)); "
        "print(DECODERS.idle[0].process.pid, flush=True); os.kill(os.getpid(), 9)"
    )
    said = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True).stdout

    end = time.monotonic() + PATIENCE
    while Path(f"/proc/{int(said)}").exists():
        assert time.monotonic() < end
        time.sleep(0.05)

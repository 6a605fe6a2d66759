"""Decoder processes: one that hangs, crashes or is not wanted any more fails one video and nothing else."""

import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

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


def wait_until_busy(decoders: Decoders) -> int:
    """The process id of the decoder that is at work."""
    end = time.monotonic() + PATIENCE
    while not decoders.busy:
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

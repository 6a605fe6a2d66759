"""Decodes videos in processes of their own, so that a decoder that hangs or crashes fails one row.

Decoders are C libraries that read files from anywhere. One that loops for ever cannot be stopped inside a
process, and one that aborts takes its process along. So each video is opened by a small process, started when
the first video comes and kept for the next ones, at most one per core. Its frames come back in shared memory.
It is killed when a video takes longer than its time limit, and cannot allocate more than its memory limit.

`savs.data.video.decoder` is what runs there.
"""

import atexit
import json
import math
import mmap
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from savs import errors
from savs.data.space import Reserve, one_item
from savs.data.video.decoder import KEPT_BYTES
from savs.data.video.sampling import FrameSampling, Video
from savs.errors import ItemError, UnreadableMedia

BASE_SECONDS = 60.0  # for a video, and more for a large file:
BYTES_PER_SECOND = 16 * 2**20  # that even a slow disk reads
MAX_PROCESSES = max(1, min(8, os.cpu_count() or 1))
ANSWER_BYTES = 2**20  # of a decoder's answer, without the frames


class _Process:
    """One decoder process, the socket to it, and the memory that its frames come in."""

    def __init__(self) -> None:
        self.memory: mmap.mmap | None = None
        self.socket, theirs = socket.socketpair()
        with theirs:
            self.process = subprocess.Popen(  # noqa: S603
                [sys.executable, "-P", "-m", "savs.data.video.decoder", str(theirs.fileno())],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,  # where decoders print what they think of a file
                pass_fds=[theirs.fileno()],
                start_new_session=True,  # a terminal's Ctrl-C is for the process that asks
            )

    def ask(self, path: Path, sampling: FrameSampling, seconds: float, reserve: Reserve) -> Video | int:
        """Return the frames, or the bytes they need if `reserve` has no space for them now. Raises an
        ItemError, TimeoutError, or ConnectionError if the process has ended."""
        end = time.monotonic() + seconds
        self.socket.settimeout(seconds)
        self._send({"path": str(path), "sampling": asdict(sampling)})
        while "needs" in (received := self._receive(end))[0]:
            size, allowed = received[0]["needs"], False
            try:
                allowed = reserve(size, False)
            finally:
                self._send(allowed)
            if not allowed:
                return int(size)
        return self._video(*received, reserve)

    def _send(self, message: object) -> None:
        self.socket.sendall(json.dumps(message).encode() + b"\n")

    def _receive(self, end: float) -> tuple[dict[str, Any], list[int]]:
        """Return the next line and the descriptors that came with it, in time before `end`."""
        line, descriptors = b"", list[int]()
        while not line.endswith(b"\n"):
            self.socket.settimeout(max(end - time.monotonic(), 0.001))
            data, found, _, _ = socket.recv_fds(self.socket, ANSWER_BYTES, 1)
            descriptors += found
            if not data:
                raise ConnectionError
            line += data
        return json.loads(line), descriptors

    def _video(self, answer: dict[str, Any], descriptors: list[int], reserve: Reserve) -> Video | int:
        import numpy as np

        if "error" in answer:
            raise getattr(errors, answer["error"])(answer["message"])
        memory = self.memory
        if descriptors:
            with os.fdopen(descriptors[0]) as file:
                memory = mmap.mmap(file.fileno(), 0)
        assert memory is not None, "the first answer brings memory"
        size: int = math.prod(answer["shape"])
        frames = np.frombuffer(memory, np.uint8, size).reshape(answer["shape"])
        if len(memory) == KEPT_BYTES:  # the next answer overwrites it
            self.memory = memory
            if not reserve(size, False):
                return size
            frames = frames.copy()
        times = answer["times"]
        return Video(frames, tuple(answer["indices"]), answer["fps"], answer["total"], times and tuple(times))

    def end(self) -> int:
        """Kill the process; return its exit code, which is its own if it had ended before."""
        self.process.kill()
        self.socket.close()
        return self.process.wait()


class Decoders:
    """The decoder processes of this process."""

    def __init__(self, most: int = MAX_PROCESSES) -> None:
        self.free = threading.BoundedSemaphore(most)
        self.lock = threading.Lock()
        self.owner = os.getpid()
        self.idle: list[_Process] = []
        self.busy: dict[_Process, Reserve] = {}  # whom its memory is asked of

    def read(
        self,
        path: Path,
        sampling: FrameSampling,
        seconds: float | None = None,
        reserve: Reserve = one_item,
    ) -> Video:
        """Return the frames of the video file at `path` that `sampling` chooses.

        seconds  that this may take; by default a minute, and more for a large file
        reserve  is asked for memory before frames are decoded

        Raises UnreadableMedia, MediaTooLarge or NoVideoSupport, with a reason that does not name the file.
        """
        try:
            limit = seconds or BASE_SECONDS + path.stat().st_size / BYTES_PER_SECOND
        except OSError as error:
            raise UnreadableMedia(f"it cannot be read: {error.strerror}") from error
        while isinstance(answer := self._ask(path, sampling, limit, reserve), int):
            reserve(answer, True)  # without a process, which the videos before this one may need
        return answer

    def _ask(self, path: Path, sampling: FrameSampling, limit: float, reserve: Reserve) -> Video | int:
        with self.free:
            decoder = self._take(reserve)
            try:
                answer = decoder.ask(path, sampling, limit, reserve)
            except ItemError:
                self._give_back(decoder)
                raise
            except TimeoutError as error:
                self._drop(decoder)
                raise UnreadableMedia(f"decoding took longer than {limit:.0f} s") from error
            except OSError as error:
                raise UnreadableMedia(f"its decoder crashed ({_ending(self._drop(decoder))})") from error
            except BaseException:
                self._drop(decoder)
                raise
            self._give_back(decoder)
            return answer

    def abandon(self, whose: Callable[[Reserve], bool] = lambda reserve: True) -> None:
        """Kill the decoders that are at work, so that no thread waits for them: those that `whose` says yes
        to, given what they ask for memory. Other threads may be reading videos of their own."""
        with self.lock:
            for decoder, reserve in self.busy.items():
                if whose(reserve):
                    decoder.process.kill()

    def close(self) -> None:
        """End all processes."""
        self.abandon()
        with self.lock:
            while self.idle:
                self.idle.pop().end()

    def _take(self, reserve: Reserve) -> _Process:
        with self.lock:
            if self.owner != os.getpid():  # forked: the processes are the parent's
                self.owner, self.idle, self.busy = os.getpid(), [], {}
            decoder = self.idle.pop() if self.idle else _Process()
            self.busy[decoder] = reserve
            return decoder

    def _give_back(self, decoder: _Process) -> None:
        with self.lock:
            self.busy.pop(decoder, None)
            self.idle.append(decoder)

    def _drop(self, decoder: _Process) -> int:
        with self.lock:
            self.busy.pop(decoder, None)
        return decoder.end()


def _ending(code: int) -> str:
    with suppress(ValueError):
        return signal.Signals(-code).name
    return f"exit code {code}"


DECODERS = Decoders()
atexit.register(DECODERS.close)

"""The process that decodes videos for `savs.data.video.decoder_pool`, one request after the other.

A request is a line of JSON, `path` and `sampling`, from a socket. The answer is a line of JSON too; if it is
not an error, the frames are in shared memory. Its descriptor comes with the answer, unless it is the memory
of an earlier answer, which is used again because new memory costs time for each of its pages.

Before it decodes frames that do not fit into that memory, the process sends the bytes that they need,
`needs`, and reads a line: `true`, or `false` if there is no memory for them now, which ends the request.

Decoders allocate what a hostile file makes them allocate. So this process has a limit on its own memory,
beyond which an allocation fails and with it one video; and if the machine runs out of memory, it is the first
to be killed.
"""

import json
import mmap
import os
import resource
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from savs.data.video.sampling import FrameSampling, Video
from savs.errors import ItemError

BASE_BYTES = 2 * 2**30  # of memory for this process and what decoders need besides the frames they return
COPIES = 2  # of the frames, besides those in shared memory, which does not count
POLL = 1.0  # seconds between checks that the parent process is there
KEPT_BYTES = 64 * 2**20  # of memory that is used again; larger frames get memory of their own


class _Memory:
    """Shared memory for the frames of one answer after the other."""

    def __init__(self) -> None:
        self.kept: mmap.mmap | None = None

    def hold(self, frames: Any) -> int | None:
        """Copy `frames` into the memory. Return its descriptor if it is new."""
        import numpy as np

        if self.kept is not None and frames.nbytes <= len(self.kept):
            np.copyto(np.frombuffer(self.kept, np.uint8, frames.nbytes).reshape(frames.shape), frames)
            return None
        descriptor = _descriptor()
        size = KEPT_BYTES if frames.nbytes <= KEPT_BYTES else frames.nbytes
        os.truncate(descriptor, size)
        memory = mmap.mmap(descriptor, size)
        np.copyto(np.frombuffer(memory, np.uint8, frames.nbytes).reshape(frames.shape), frames)
        if size == KEPT_BYTES:
            self.kept = memory
        return descriptor


def serve(connection: socket.socket) -> None:
    """Answer requests until the other side closes the socket."""
    held = _Memory()
    with connection, connection.makefile("rb") as requests:

        def allow(size: int) -> bool:
            if size > KEPT_BYTES:  # asking costs as much time as decoding a small frame
                connection.sendall(json.dumps({"needs": size}).encode() + b"\n")
                if not json.loads(requests.readline()):
                    return False
            limit_memory(size)
            return True

        while line := requests.readline():
            request = json.loads(line)
            limit_memory(0)
            answered = answer(Path(request["path"]), FrameSampling(**request["sampling"]), held, allow)
            if answered is None:
                continue
            header, memory = answered
            data = json.dumps(header).encode() + b"\n"
            if memory is None:
                connection.sendall(data)
                continue
            sent = socket.send_fds(connection, [data], [memory])
            os.close(memory)
            connection.sendall(data[sent:])


def answer(
    path: Path, sampling: FrameSampling, held: _Memory, allow: Callable[[int], bool]
) -> tuple[dict[str, Any], int | None] | None:
    """Return the header of an answer, and the descriptor of the memory that holds the frames, if it is
    new; None if `allow` returned False."""
    from savs.data.video.decode import NoSpace, read_video

    try:
        video = read_video(path, sampling, allow)
        return _header(video), held.hold(video.frames)
    except NoSpace:
        return None
    except ItemError as error:
        return {"error": type(error).__name__, "message": str(error)}, None
    except MemoryError:
        return {"error": "MediaTooLarge", "message": "needs more memory than a decoder may use"}, None
    except Exception as error:  # decoders raise almost anything on hostile bytes
        return {
            "error": "UnreadableMedia",
            "message": f"its decoder failed with {type(error).__name__}",
        }, None


def _header(video: Video) -> dict[str, Any]:
    return {
        "shape": video.frames.shape,
        "indices": video.indices,
        "fps": video.fps,
        "total": video.total,
        "times": video.times,
    }


def limit_memory(size: int) -> None:
    """Let allocations fail beyond what a video with frames of `size` bytes needs. Not on macOS, which ignores
    the limit."""
    with suppress(ValueError, OSError):  # an administrator's limit is lower
        hard = resource.getrlimit(resource.RLIMIT_DATA)[1]
        resource.setrlimit(resource.RLIMIT_DATA, (BASE_BYTES + COPIES * size, hard))


def _be_killed_first() -> None:
    with suppress(OSError):  # not Linux
        Path("/proc/self/oom_score_adj").write_text("1000")


def _descriptor() -> int:
    """Return the descriptor of new anonymous memory."""
    if hasattr(os, "memfd_create"):
        return os.memfd_create("savs-frames")
    descriptor, name = tempfile.mkstemp(prefix="savs-frames-")
    os.unlink(name)  # noqa: PTH108
    return descriptor


def _end_with(parent: int) -> None:
    """End this process, even inside a decoder that hangs, once its parent has ended."""
    while os.getppid() == parent:
        time.sleep(POLL)
    os._exit(1)


if __name__ == "__main__":
    _be_killed_first()
    threading.Thread(target=_end_with, args=(os.getppid(),), daemon=True).start()
    serve(socket.socket(fileno=int(sys.argv[1])))

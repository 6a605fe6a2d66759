"""The process that decodes videos for `savs.data.video.decoder_pool`, one request after the other.

A request is a line of JSON, `path` and `sampling`, from a socket. The answer is a line of JSON too; if it is
not an error, the frames are in shared memory. Its descriptor comes with the answer, unless it is the memory
of an earlier answer, which is used again because new memory costs time for each of its pages.
"""

import json
import mmap
import os
import socket
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

from savs.data.video.sampling import FrameSampling
from savs.errors import ItemError

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
        for line in requests:
            request = json.loads(line)
            header, memory = answer(Path(request["path"]), FrameSampling(**request["sampling"]), held)
            data = json.dumps(header).encode() + b"\n"
            if memory is None:
                connection.sendall(data)
                continue
            sent = socket.send_fds(connection, [data], [memory])
            os.close(memory)
            connection.sendall(data[sent:])


def answer(path: Path, sampling: FrameSampling, held: _Memory) -> tuple[dict[str, Any], int | None]:
    """Return the header of an answer, and the descriptor of the memory that holds the frames, if it is
    new."""
    from savs.data.video.decode import read_video

    try:
        video = read_video(path, sampling)
    except ItemError as error:
        return {"error": type(error).__name__, "message": str(error)}, None
    except Exception as error:  # decoders raise almost anything on hostile bytes
        return {
            "error": "UnreadableMedia",
            "message": f"its decoder failed with {type(error).__name__}",
        }, None
    header = {
        "shape": video.frames.shape,
        "indices": video.indices,
        "fps": video.fps,
        "total": video.total,
        "times": video.times,
    }
    return header, held.hold(video.frames)


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
    threading.Thread(target=_end_with, args=(os.getppid(),), daemon=True).start()
    serve(socket.socket(fileno=int(sys.argv[1])))

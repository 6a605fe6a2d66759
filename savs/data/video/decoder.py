"""The process that decodes videos for `savs.data.video.decoder_pool`, one request after the other.

A request is a line of JSON, `path` and `sampling`, from a socket. The answer is a line of JSON too; if it is
not an error, the descriptor of the memory that holds the frames comes with it.
"""

import json
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


def serve(connection: socket.socket) -> None:
    """Answer requests until the other side closes the socket."""
    with connection, connection.makefile("rb") as requests:
        for line in requests:
            request = json.loads(line)
            header, memory = answer(Path(request["path"]), FrameSampling(**request["sampling"]))
            data = json.dumps(header).encode() + b"\n"
            if memory is None:
                connection.sendall(data)
                continue
            sent = socket.send_fds(connection, [data], [memory])
            os.close(memory)
            connection.sendall(data[sent:])


def answer(path: Path, sampling: FrameSampling) -> tuple[dict[str, Any], int | None]:
    """Return the header of an answer, and the descriptor of the memory that holds the frames."""
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
        "bytes": video.frames.nbytes,
        "indices": video.indices,
        "fps": video.fps,
        "total": video.total,
        "times": video.times,
    }
    return header, _shared(video.frames)


def _shared(frames: Any) -> int:
    """Return the descriptor of anonymous memory with the frames in it."""
    import numpy as np

    memory = _memory()
    view = np.ascontiguousarray(frames).reshape(-1).data
    done = 0
    while done < len(view):
        done += os.write(memory, view[done : done + 2**30])
    return memory


def _memory() -> int:
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

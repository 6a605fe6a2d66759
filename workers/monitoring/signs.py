"""The signs of life of a worker's processes: files that `savs-worker health` reads, without Redis.

A worker has two files in its runtime folder, touched every SIGN_EVERY seconds by the process it is about:

    <pid>.worker   of its parent process
    <pid>.model    of the child that holds the model; not touched while the model is loading

The parent has no threads, since it forks, and its event loop stands still while Redis is away: it touches its
file in the handler of an alarm signal. Imports only the standard library.
"""

import json
import logging
import os
import signal
import tempfile
import threading
import time
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

SIGN_EVERY = 5.0  # seconds
SILENCE = 60.0  # seconds without a sign after which a process counts as hung
PARENT, MODEL = ".worker", ".model"

State = Literal["starting", "ready", "working"]

log = logging.getLogger("savs.worker")


@dataclass(frozen=True)
class ParentSign:
    """What a worker's parent process says of itself.

    born     when the process was started, in the kernel's ticks; None if the system does not tell
    ends_by  set when the worker stops: the time by which it will have ended, in seconds since 1970
    """

    pid: int
    born: int | None
    queue: str
    ends_by: float | None = None


@dataclass(frozen=True)
class ModelSign:
    """What the child that holds the model says of itself."""

    pid: int
    state: State


def runtime_folder(chosen: str | None) -> Path:
    """The folder of the signs: `chosen`, else one of this user in $XDG_RUNTIME_DIR or the temp folder."""
    if chosen:
        return Path(chosen)
    if place := os.environ.get("XDG_RUNTIME_DIR"):
        return Path(place) / "savs"
    return Path(tempfile.gettempdir()) / f"savs-{os.getuid()}"


def birth(pid: int) -> int | None:
    """When the process was started; None if it has ended, or if this system has no /proc."""
    try:
        state, *fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if state == "Z" else int(fields[18])


def lives(pid: int, born: int | None) -> bool:
    """Whether the process that was started then is running; another one may have got its number."""
    if born is not None:
        return birth(pid) == born
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


class WorkerSigns:
    """Writes the signs of one worker; made in its parent process, before the fork.

    A folder that cannot be written costs the worker nothing but its health check, and a warning.
    """

    def __init__(self, folder: Path, queue: str) -> None:
        pid = os.getpid()
        self.me = ParentSign(pid, birth(pid), queue)
        self.alarmed = False
        self.parent, self.model = folder / f"{pid}{PARENT}", folder / f"{pid}{MODEL}"

    def begin(self) -> None:
        """Writes the parent's file, and touches it from now on."""
        try:
            _make_private(self.parent.parent)
            _forget_the_dead(self.parent.parent)
            self.model.unlink(missing_ok=True)  # of an earlier process with this number
            _write(self.parent, self.me)
        except OSError as error:
            log.warning(
                "`savs-worker health` cannot see this worker: %s: %s; give a folder that it may write: "
                "--runtime-dir",
                *(self.parent.parent, error.strerror),
            )
        signal.signal(signal.SIGALRM, lambda *_: _touch(self.parent))
        signal.setitimer(signal.ITIMER_REAL, SIGN_EVERY, SIGN_EVERY)
        self.alarmed = True

    def stopping(self, grace: float) -> None:
        """Says that the worker will have ended in `grace` seconds. The alarm is then free for others."""
        self.alarmed = False
        signal.setitimer(signal.ITIMER_REAL, 0)
        with suppress(OSError):
            _write(self.parent, ParentSign(**(asdict(self.me) | {"ends_by": time.time() + grace})))

    def say(self, state: State) -> None:
        """Says what the calling process, which holds the model, is doing."""
        with suppress(OSError):
            _write(self.model, ModelSign(os.getpid(), state))

    def go_on(self) -> None:
        """Touches the file of the process that holds the model, from a thread of its own, which waits for
        nothing else: not for Redis. Does not return."""
        pause = threading.Event()
        while True:
            pause.wait(SIGN_EVERY)
            _touch(self.model)

    def end(self) -> None:
        """Removes the files: the worker has ended. Without its handler, which Python removes at its end, the
        alarm would kill the process."""
        if self.alarmed:
            signal.setitimer(signal.ITIMER_REAL, 0)
        for path in (self.parent, self.model):
            with suppress(OSError):
                path.unlink(missing_ok=True)


def _make_private(folder: Path) -> None:
    """Makes the folder. Raises PermissionError if it is one that somebody else has made in a place where
    everybody may."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if folder == runtime_folder(None) and (folder.is_symlink() or folder.stat().st_uid != os.getuid()):
        raise PermissionError(1, "belongs to another user")


def _write(path: Path, sign: Any) -> None:
    """Writes the sign in one step: a reader never sees a part of it."""
    unfinished = path.with_name(f".{path.name}-{os.getpid()}")
    unfinished.write_text(json.dumps(asdict(sign)))
    unfinished.replace(path)


def _touch(path: Path) -> None:
    with suppress(OSError):
        os.utime(path)


def _forget_the_dead(folder: Path) -> None:
    """Removes the files of workers that were killed."""
    for path in folder.glob(f"*{PARENT}"):
        sign = read_parent(path)
        dead = sign is None or not lives(sign.pid, sign.born)
        with suppress(FileNotFoundError):  # another worker has removed it
            if dead and time.time() - path.stat().st_mtime > SILENCE:
                path.unlink()
                path.with_suffix(MODEL).unlink(missing_ok=True)


def read_parent(path: Path) -> ParentSign | None:
    """The parent's sign in a file; None if there is none."""
    try:
        return ParentSign(**json.loads(path.read_text()))
    except (OSError, ValueError, TypeError):
        return None


def read_model(path: Path) -> ModelSign | None:
    """The sign of a model's process in a file; None if there is none."""
    try:
        return ModelSign(**json.loads(path.read_text()))
    except (OSError, ValueError, TypeError):
        return None

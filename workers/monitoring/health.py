"""`savs-worker health`: whether the workers of this machine give signs of life. Imports nothing slow."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from workers.monitoring.signs import MODEL, PARENT, SILENCE, ParentSign, lives, read_model, read_parent

LOADING = 3600.0  # seconds that loading a model may take


@dataclass(frozen=True)
class Health:
    """One running worker: what it does, and what is wrong with it, if anything is."""

    pid: int
    queue: str
    state: str
    problem: str | None = None


def workers_here(folder: Path) -> Iterator[Health]:
    """The running workers that have files in `folder`. Those that have ended or were killed are left out."""
    for path in sorted(folder.glob(f"*{PARENT}")):
        sign = read_parent(path)
        if sign is not None and lives(sign.pid, sign.born):
            state, problem = _state(path, sign, time.time())
            yield Health(sign.pid, sign.queue, state, problem)


def _state(path: Path, sign: ParentSign, now: float) -> tuple[str, str | None]:
    if sign.ends_by is not None:
        late = now - sign.ends_by
        return "stopping", f"should have ended {late:.0f} s ago" if late > SILENCE else None
    if (silent := _silence(path, now)) > SILENCE:
        return "hung", f"has given no sign of life for {silent:.0f} s"
    model = read_model(path.with_suffix(MODEL))
    if model is None:
        return "starting", None
    silent = _silence(path.with_suffix(MODEL), now)
    if model.state == "starting":
        return "starting", f"has been loading for {silent:.0f} s" if silent > LOADING else None
    problem = f"its process {model.pid}, which runs the work, has given no sign of life for {silent:.0f} s"
    return model.state, problem if silent > SILENCE else None


def _silence(path: Path, now: float) -> float:
    """Seconds since the file was touched; after the clock was set, until the next touch, any number."""
    try:
        return abs(now - path.stat().st_mtime)
    except OSError:  # the worker has just ended
        return 0.0

"""A worker whose model is a deterministic function of the item; `tests.pool.zygote` starts it.

Everything but the forward pass is real: Celery, Redis, processes, signals, the board and the ledger.
An item's name says what happens to it: `deadly` kills the process, `hanging` keeps it for ever, `broken`
raises, `rotten` costs its row, `slow` takes FAKE_SLOW_SECONDS, `unlucky` meets a storage error once.
Words in the file FAKE_CURED do no harm any more.
"""

import hashlib
import os
import signal
import time
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch

import jobs.run.advance
import savs.engine.extract
import workers.monitoring.signs
import workers.sweeper
from jobs.ledger.ledger import Ledger
from jobs.queue.timeouts import read_timeouts
from jobs.records.message import CPU_QUEUE, gpu_queue
from jobs.settings import log_level_of
from savs.data.samples import Sample
from savs.data.video.sampling import FrameSampling
from savs.engine.engine import BatchResult, Reader
from savs.engine.packing import Budget
from savs.engine.windows import Request
from savs.errors import StorageError, UnreadableMedia
from savs.model.chat import Chat
from savs.model.heads import HeadLayout, LayerHeads
from savs.model.model import Model
from savs.timings import Timings
from workers import cli
from workers.model import load as load_real
from workers.settings import WorkerSettings

LAYOUT = HeadLayout((LayerHeads(0, 4, 8), LayerHeads(1, 4, 8)))
SIGN_EVERY = 0.2  # seconds between two signs of life for `savs-worker health`
CLASSES = ("cat", "dog", "owl")


def load(name: str) -> Model:
    """Takes FAKE_LOAD_SECONDS, or once the file FAKE_SLOW is there FAKE_RELOAD_SECONDS; the model named
    `broken` cannot be loaded, nor any once the file FAKE_BREAK is there."""
    slow = Path(os.environ.get("FAKE_SLOW", "/nowhere")).exists()
    time.sleep(float(os.environ.get("FAKE_RELOAD_SECONDS" if slow else "FAKE_LOAD_SECONDS", "0")))
    if name == "broken" or Path(os.environ.get("FAKE_BREAK", "/nowhere")).exists():
        raise RuntimeError("no such weights")
    return Model(
        name=name,
        revision="fake",
        fingerprint=os.environ.get("FAKE_FINGERPRINT", "fake"),
        network=SimpleNamespace(dtype="fake", get_input_embeddings=lambda: torch.nn.Embedding(1, 1)),
        processor=SimpleNamespace(),
        chat=Chat("processor"),
        projections=(),
        layout=LAYOUT,
        context=1000,
        sampling=FrameSampling(),
    )


def stream(
    model: Model,
    requests: Iterable[Request],
    timings: Timings,
    *,
    read: Reader | None = None,
    budget: Budget | None = None,
    **_: Any,
) -> Iterator[BatchResult]:
    """In place of savs.engine.extract.stream: FAKE_BATCH_SECONDS per batch, and a token is an item."""
    assert budget is not None
    rest = iter(requests)
    while batch := list(islice(rest, budget.tokens)):
        time.sleep(float(os.environ.get("FAKE_BATCH_SECONDS", "0")))
        cured = Path(os.environ.get("FAKE_CURED", "/nowhere"))
        harmless = cured.read_text().split() if cured.exists() else []
        samples = {request.number: request.sample for request in batch}
        for sample in samples.values():
            if "deadly" in sample.id:
                os.kill(os.getpid(), signal.SIGKILL)
            if "hanging" in sample.id and "hanging" not in harmless:
                time.sleep(1000)
            if "slow" in sample.id:
                time.sleep(float(os.environ.get("FAKE_SLOW_SECONDS", "0")))
            if "unlucky" in sample.id and not (met := Path(os.environ["FAKE_DIED"])).exists():
                met.touch()
                raise StorageError("S3 did not answer, however often boto3 asked")
            if "broken" in sample.id and "broken" not in harmless:
                raise RuntimeError(f"item {sample.id} breaks the model")
        unreadable = {n: s for n, s in samples.items() if "rotten" in s.id and "rotten" not in harmless}
        rotten = {n: UnreadableMedia(f"{s.id} cannot be decoded") for n, s in unreadable.items()}
        good = {n: s for n, s in samples.items() if n not in rotten}
        vectors = np.array([vector(s) for s in good.values()], dtype=np.float32).reshape(-1, LAYOUT.width)
        values = torch.from_numpy(vectors)
        yield BatchResult(tuple(good), read(values) if read else values, dict(rotten))


def vector(sample: Sample) -> np.ndarray:
    """float32 [64]: noise from the item's id, around a direction of the class its id names."""
    seed = int.from_bytes(hashlib.sha256(sample.id.encode()).digest()[:8], "little")
    noise = np.random.default_rng(seed).standard_normal(LAYOUT.width)
    name = next(c for c in CLASSES if c in sample.id)
    direction = np.random.default_rng(CLASSES.index(name)).standard_normal(LAYOUT.width)
    return (direction + 0.8 * noise).astype(np.float32)


def die_once_at(moment: str) -> None:
    """Makes this process kill itself at `moment`, unless FAKE_DIED says that one did already."""
    owner, name, after = {
        "before the plan": (Ledger, "create_plan", False),
        "before commit": (Ledger, "commit", False),
        "after commit": (Ledger, "commit", True),
        "before the next job": (jobs.run.advance, "enqueue_job", False),
    }[moment]
    real = getattr(owner, name)

    def dying(*arguments: object) -> object:
        answer = real(*arguments) if after else None
        try:
            Path(os.environ["FAKE_DIED"]).touch(exist_ok=False)
        except FileExistsError:
            return answer if after else real(*arguments)
        os.kill(os.getpid(), signal.SIGKILL)
        raise AssertionError("unreachable")

    setattr(owner, name, dying)


def sweep_that_fails(times: int) -> None:
    """Makes the first so many sweeps of this process fail as nobody foresaw."""
    real, left = workers.sweeper.sweep, [None] * times

    def failing(*arguments: Any) -> None:
        if left:
            left.pop()
            raise AttributeError("nobody thought of it")
        real(*arguments)

    workers.sweeper.sweep = failing


if failures := os.environ.get("FAKE_SWEEP_FAILS"):  # the sweeper imports this, and calls no main
    sweep_that_fails(int(failures))


def main(kind: str, broker: str, workspace: str, model: str) -> None:
    workers.monitoring.signs.SIGN_EVERY = SIGN_EVERY
    real = model == "demo"  # the demo model, with this worker's short times
    if not real:
        savs.engine.extract.stream = stream
    if moment := os.environ.get("FAKE_DIE"):
        die_once_at(moment)
    roots = tuple(os.environ["FAKE_ROOTS"].split())
    port = os.environ.get("SAVS_METRICS_PORT")
    told: Any = {
        "roots": roots,
        "times": read_timeouts(),
        "log_format": os.environ.get("SAVS_LOG_FORMAT", "text"),
        "log_level": log_level_of(),
        "metrics_port": int(port) if port else None,
        "runtime_dir": os.environ.get("SAVS_RUNTIME_DIR"),
        "exit_when_idle": float(idle) if (idle := os.environ.get("FAKE_EXIT_WHEN_IDLE")) else None,
    }
    if kind == "gpu":
        cli.work(
            WorkerSettings(broker, workspace, gpu_queue(model), model, **told), load_real if real else load
        )
    else:
        cli.work_and_sweep(WorkerSettings(broker, workspace, CPU_QUEUE, **told), load)

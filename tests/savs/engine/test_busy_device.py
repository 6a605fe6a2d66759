"""A simulated device is busy. Time is virtual: it passes only where a step is charged."""

from collections.abc import Callable, Collection, Sequence
from concurrent.futures import Executor, Future
from contextlib import nullcontext
from typing import Any

import pytest
import torch
from PIL import Image

import savs
from savs.engine import batches
from savs.engine.batches import Batch
from savs.engine.engine import Built
from savs.engine.packing import Budget, PackedRow
from savs.timings import Marks

PREPARATION = 0.004  # seconds a picture, in the preparing thread
FORWARD = 0.0083  # seconds a picture, on the device: 120 pictures a second
LAUNCH = 0.1  # seconds of the caller's thread in which it starts the kernels of a batch
WINDOWS = 4
PICTURES = WINDOWS * 512
PER_BATCH = 117  # pictures
BAR = 0.95


class Machine:
    """A device, the thread that gives it work, and a thread that prepares.

    now   the time of the caller's thread
    free  when the device has done what it was given
    busy  seconds that the device has computed

    preparation  seconds a picture
    waits        whether a forward pass waits for the device
    """

    def __init__(self, preparation: float = PREPARATION, waits: bool = False) -> None:
        self.preparation, self.waits = preparation, waits
        self.now = self.free = self.busy = 0.0

    def build(self, model: savs.Model, rows: Sequence[PackedRow]) -> Built:
        self.now += self.preparation * len(rows)
        return batches.build(model, rows)

    def read_vectors(
        self, model: savs.Model, batch: Batch, layers: Collection[int] | None, marks: Marks
    ) -> torch.Tensor:
        seconds = FORWARD * len(batch.rows)
        began = max(self.now, self.free)  # the first kernel runs while the last ones are started
        self.now += LAUNCH
        self.free = max(began + seconds, self.now)
        self.busy += seconds
        if self.waits:
            self.now = self.free
        marks.end("language")
        return torch.zeros(len(batch.numbers), model.layout.width)

    def fetched(self, values: torch.Tensor) -> tuple[torch.Tensor, "Copied"]:
        return values, Copied(self, self.free)


class Copied:
    """The event that a copy from the device is complete."""

    def __init__(self, machine: Machine, at: float) -> None:
        self.machine, self.at = machine, at

    def synchronize(self) -> None:
        self.machine.now = max(self.machine.now, self.at)


class Preparing(Executor):
    """One thread: it works at once, and the result is there when the thread's own time has passed."""

    def __init__(self, machine: Machine) -> None:
        self.machine, self.free = machine, 0.0

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> "Future[Any]":
        machine, called = self.machine, self.machine.now
        machine.now = max(called, self.free)
        found = fn(*args, **kwargs)
        self.free, machine.now = machine.now, called
        return Prepared(machine, self.free, found)


class Prepared(Future[Any]):
    """A result that is there at a certain time."""

    def __init__(self, machine: Machine, at: float, found: object) -> None:
        super().__init__()
        self.machine, self.at = machine, at
        self.set_result(found)

    def result(self, timeout: float | None = None) -> Any:
        self.machine.now = max(self.machine.now, self.at)
        return super().result(timeout)


def share(patch: pytest.MonkeyPatch, model: savs.Model, machine: Machine, ahead: Executor | None) -> float:
    """The share of the time in which the device computes, over pictures of several windows."""
    patch.setattr("savs.engine.engine.build", machine.build)
    patch.setattr("savs.engine.engine.read_vectors", machine.read_vectors)
    patch.setattr("savs.engine.engine._fetched", machine.fetched)
    patch.setattr("savs.engine.extract._preparing", lambda model: nullcontext(ahead))
    pictures = (Image.new("RGB", (28, 28)) for _ in range(PICTURES))
    found = savs.extract(model, pictures, "What?", budget=Budget(10**9, PER_BATCH * 28 * 28), progress=False)

    assert len(found.samples) == PICTURES
    assert machine.busy == pytest.approx(PICTURES * FORWARD)
    return machine.busy / max(machine.now, machine.free)


def test_the_device_is_busy_over_batches_and_windows(
    monkeypatch: pytest.MonkeyPatch, qwen2_5: savs.Model
) -> None:
    machine = Machine()

    assert share(monkeypatch, qwen2_5, machine, Preparing(machine)) >= BAR


def test_it_waits_where_each_forward_pass_waits_for_it(
    monkeypatch: pytest.MonkeyPatch, qwen2_5: savs.Model
) -> None:
    machine = Machine(waits=True)

    assert share(monkeypatch, qwen2_5, machine, Preparing(machine)) < BAR


def test_it_waits_where_no_thread_prepares(monkeypatch: pytest.MonkeyPatch, qwen2_5: savs.Model) -> None:
    # given a preparation that takes as long as the device
    apart, together = Machine(FORWARD), Machine(FORWARD)

    beside = share(monkeypatch, qwen2_5, apart, Preparing(apart))

    assert share(monkeypatch, qwen2_5, together, None) < beside - 0.02

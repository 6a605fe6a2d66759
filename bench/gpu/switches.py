"""Labels the same pictures with one of the engine's steps switched off, to see what each is worth."""

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, replace
from unittest.mock import patch

from bench.engine.runs import label
from bench.figures import Figure
from bench.gpu.setting import Found, Setting
from savs.layers.fused import Fused
from savs.model.model import Model
from savs.model.raw_pixels import Raw
from savs.timings import Timings

ITEMS = 384


@dataclass(frozen=True)
class Switch:
    """A step of the engine. The context manager `off` disables it and yields the model to use."""

    name: str
    off: Callable[[Model], AbstractContextManager[Model]]


@contextmanager
def plain_kernels() -> Iterator[None]:
    """In this block norms and rotations run as transformers has them."""
    with patch.object(Fused, "__call__", lambda part, *given, **options: part.plain(*given, **options)):
        yield


@contextmanager
def _plain(model: Model) -> Iterator[Model]:
    with plain_kernels():
        yield model


@contextmanager
def _derived_there(model: Model) -> Iterator[Model]:
    yield replace(model, derives=False)


@contextmanager
def _normalised_here(model: Model) -> Iterator[Model]:
    yield replace(model, raw=Raw())


SWITCHES = (
    Switch("norms and rotations as one kernel", _plain),
    Switch("what the sizes of images say given to the network", _derived_there),
    Switch("pixels normalised on the device", _normalised_here),
)


def switch_off(setting: Setting) -> Found:
    rows = setting.pictures[:ITEMS]
    figures = []

    def rate(of: AbstractContextManager[Model]) -> float:
        with of as model:
            label(model, setting.readout, rows[: len(rows) // 3], Timings())
            began = time.perf_counter()
            label(model, setting.readout, rows, Timings())
            return len(rows) / (time.perf_counter() - began)

    whole = rate(nullcontext(setting.model))
    figures.append(Figure("with all steps", whole, "/s"))
    for switch in SWITCHES:
        off = rate(switch.off(setting.model))
        figures.append(Figure(f"without {switch.name}", off / whole, "×"))
    return Found(figures, {"items": len(rows)})

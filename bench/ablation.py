"""Measures the effect of each step of the engine: `python -m bench.ablation`.

The demo model labels three workloads of `bench.engine.workloads` on a CPU, alternately with all steps and
with one step left out. The figure is the ratio of the two times, the median of several runs. The last line
is JSON; the results are also written to `bench/results/ablation.json`. There are no bars. Takes about two
minutes.
"""

import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from unittest.mock import patch

import torch

import savs
from bench.engine import workloads
from bench.engine.baseline import HEADS
from bench.engine.runs import label
from bench.engine.workloads import WORKLOADS
from bench.figures import Figure, engine_versions, machine
from savs.data.video.sampling import FrameSampling
from savs.layers import vision_attention
from savs.layers.branches import Branches
from savs.model.checkpoint import DEMO
from savs.model.model import Model
from savs.readout.fit import Readout
from savs.timings import Timings

RESULTS = Path(__file__).parent / "results" / "ablation.json"
RUNS = 5
CHOSEN = ("demo classify 84 px", "demo classify 84 px, 15 questions", "demo classify video")


@dataclass(frozen=True)
class Step:
    """A step of the engine. The context manager `without` disables it and yields the model to use."""

    name: str
    without: Callable[[Model], AbstractContextManager[Model]]


@contextmanager
def _unshared(model: Model) -> Iterator[Model]:
    yield replace(model, shares=False)


@contextmanager
def _masked(model: Model) -> Iterator[Model]:
    """Compute branching rows in one attention call, with a mask over the whole row."""
    with patch.object(Branches, "as_mask", _whole):
        yield model


def _whole(branches: Branches, device: torch.device) -> torch.Tensor:
    rows, width = int(branches.lines.max()) + 1, int(branches.places.max()) + 1
    part = torch.full((rows, width), -1)
    seen = branches.mask[:, 0, 0, : branches.beginning].sum(-1)
    for number, (line, places, begin) in enumerate(zip(branches.lines, branches.places, seen, strict=True)):
        part[line, places], part[line, :begin] = number + 1, 0
    sees = (part[:, None, :] == 0) | (part[:, None, :] == part[:, :, None])
    return (sees & torch.ones(width, width, dtype=torch.bool).tril())[:, None].to(device)


@contextmanager
def _one_by_one(model: Model) -> Iterator[Model]:
    with patch("savs.engine.engine.pack", lambda rows, budget: [[row] for row in rows]):
        yield model


@contextmanager
def _beside(model: Model) -> Iterator[Model]:
    with patch("savs.engine.extract._preparing", lambda model: ThreadPoolExecutor(1)):
        yield model


@contextmanager
def _convolved(model: Model) -> Iterator[Model]:
    embeddings = [m for m in model.network.modules() if isinstance(m, torch.nn.Conv2d | torch.nn.Conv3d)]
    products = [vars(module).pop("forward") for module in embeddings]
    yield model
    for module, product in zip(embeddings, products, strict=True):
        module.forward = product  # type: ignore[method-assign]


@contextmanager
def _chunk_after_chunk(model: Model) -> Iterator[Model]:
    configs = {id(m.config): m.config for m in model.network.modules() if hasattr(m, "config")}
    ours = [c for c in configs.values() if c._attn_implementation == vision_attention.NAME]
    for config in ours:
        config._attn_implementation = "sdpa"
    yield model
    for config in ours:
        config._attn_implementation = vision_attention.NAME


STEPS = (
    Step("media and beginnings once for all their questions", _unshared),
    Step("rows that branch in two calls", _masked),
    Step("rows packed into batches", _one_by_one),
    Step("batches prepared between passes", _beside),
    Step("patches embedded by a product", _convolved),
    Step("chunks of the vision tower in one call", _chunk_after_chunk),
)


def main() -> int:
    figures = []
    with tempfile.TemporaryDirectory(prefix="savs-bench-") as place:
        folder, every = Path(place), FrameSampling(frames=workloads.FRAMES)
        model = savs.load_model(DEMO, device="cpu", sampling=every)
        examples = workloads.samples(next(w for w in WORKLOADS if w.extract), folder)[:16]
        extracted = savs.extract(model, examples)
        readout = savs.fit(extracted.vectors, [str(s.label) for s in extracted.samples], HEADS)
        assert isinstance(readout, Readout)

        def seconds(of: AbstractContextManager[Model], rows: list[savs.Sample]) -> float:
            with of as chosen:
                began = time.perf_counter()
                label(chosen, readout, rows, Timings())
                return time.perf_counter() - began

        for work in (w for w in WORKLOADS if w.name in CHOSEN):
            rows = workloads.samples(work, folder)
            seconds(nullcontext(model), rows)
            for step in STEPS:
                ratios = [
                    seconds(step.without(model), rows) / seconds(nullcontext(model), rows)
                    for _ in range(RUNS)
                ]
                figures.append(Figure(f"{work.name}: without {step.name}", statistics.median(ratios), "×"))
                print(figures[-1], flush=True)
    report = {
        "machine": machine(),
        "versions": engine_versions(),
        "results": [figure.to_json() for figure in figures],
    }
    RESULTS.write_text(json.dumps(report, indent=1, ensure_ascii=False) + "\n")
    print(json.dumps(report, ensure_ascii=False))
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""Measures the engine at the size of a real model: `python -m bench.gpu --shape qwen2.5-vl-7b`.

The model has random weights (`bench.engine.shapes`) and needs no network. Media are files: JPEG images of
448 × 448 pixels, and videos of 16 such frames. It measures the time from file to label with a fitted
readout, as in a shard; the operations per second (`bench.engine.flops`) relative to a matrix product in
the same run; how long the device was busy; and the published loop on a few of the same items, with the
same network. The bars apply to a GPU, where the exit code is 1 if one is missed. On a CPU they are only
reported, but the labels must equal the loop's. The last line is JSON; a run of all items on a GPU is also
written to `bench/results/gpu-<shape>.json`.
"""

import argparse
import json
import statistics
import sys
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path

import torch

import savs
from bench.engine import flops, shapes, workloads
from bench.engine.baseline import HEADS, Loop, Published
from bench.engine.workloads import Workload
from bench.figures import Figure, engine_versions, machine
from bench.loop import label
from savs.data.media import open_media
from savs.data.samples import Sample
from savs.engine import batches
from savs.engine.packing import PackedRow
from savs.model.model import Model
from savs.readout.fit import Readout
from savs.timings import Timings

RESULTS = Path(__file__).parent / "results"
SIDE = 448  # pixels
ITEMS = {"cuda": 2048, "cpu": 32}  # images; there are a sixteenth as many videos
BASELINE = 8  # prompts on which the loop is timed
EXAMPLES = 8  # examples on which the readout is fitted
PRODUCT = {"cuda": 8192, "cpu": 1024}  # rows and columns of the matrices whose product is timed
PRODUCTS = 20  # products per timing; there are PRODUCT_RUNS timings
PRODUCT_RUNS = 5
BARS = {"of the matrix product": "≥ 0.6", "device busy": "≥ 0.95", "× the loop": "≥ 8"}
ITEMS_BAR = {"qwen2.5-vl-7b": "≥ 90"}  # images per second


@dataclass(frozen=True)
class Run:
    """The measurements of a workload.

    seconds   from the first file to the last label
    loop      seconds per prompt of the published loop
    compared  number of items labelled by both
    equal     how many of these labels are equal
    """

    work: Workload
    seconds: float
    timings: Timings
    operations: dict[str, int]
    loop: float
    compared: int
    equal: int

    @property
    def rate(self) -> float:
        """Prompts per second."""
        return self.work.prompts / self.seconds

    @property
    def tera(self) -> float:
        """10^12 operations per second."""
        return sum(self.operations.values()) / self.seconds / 1e12

    def figures(self, product: float) -> list[Figure]:
        """Return the figures; `product` is the 10^12 operations per second of a matrix product."""
        found = {
            "items/s": (self.rate, "/s"),
            "TFLOP/s": (self.tera, "TFLOP/s"),
            "of the matrix product": (self.tera / product, ""),
            "device busy": (self.timings.seconds["device"] / self.seconds, ""),
            "× the loop": (self.loop * self.rate, "×"),
            "labels that equal the loop's": (self.equal, f"of {self.compared}"),
        }
        return [Figure(f"{self.work.name}: {name}", *one) for name, one in found.items()]

    @property
    def stages(self) -> dict[str, float]:
        """Milliseconds per item of each stage."""
        return {n: round(1e3 * s / self.work.prompts, 3) for n, s in sorted(self.timings.seconds.items())}


def workloads_of(items: int, side: int) -> tuple[Workload, ...]:
    few, loop = max(2, items // 16), min(items, BASELINE)
    return (
        Workload("images", "", side, False, items, 1, loop),
        Workload("videos", "", side, True, few, 1, loop),
        Workload("videos, 15 questions", "", side, True, max(2, few // 4), 15, loop),
    )


def measure(work: Workload, model: Model, readout: Readout, folder: Path) -> Run:
    rows = workloads.samples(work, folder)
    label(model, readout, rows[: max(2, len(rows) // 8)], Timings())  # warm up kernels and the allocator
    timings, began = Timings(), time.perf_counter()
    labels = label(model, readout, rows, timings)
    seconds = time.perf_counter() - began
    assert len(labels) == len(rows), f"{len(rows) - len(labels)} of {len(rows)} items have no label"
    loop, published = Loop(model.network, model.processor), as_published(model, readout)
    few = rows[:: max(1, len(rows) // work.baseline)][: work.baseline]
    loop.label(published, few[0])
    began = time.perf_counter()
    said = [loop.label(published, sample) for sample in few]
    passed = (time.perf_counter() - began) / len(few)
    equal = sum(labels[sample.index] == name for sample, name in zip(few, said, strict=True))
    return Run(work, seconds, timings, operations(work, model, readout, rows), passed, len(few), equal)


def operations(work: Workload, model: Model, readout: Readout, rows: list[Sample]) -> dict[str, int]:
    """Return the operations of a workload whose media have one size and whose questions have one length."""
    together = work.questions if model.shares else 1
    media = tuple(open_media(address, model.sampling) for address in rows[0].media)
    questions = tuple(str(sample.question) for sample in rows[:together])
    [batch], _ = batches.build(model, [PackedRow(media, questions, tuple(range(together)), 0)])
    last = max(int(layer) for layer, _ in readout.heads)
    each = flops.of_row(model.network.config, batch, last)
    return {part: number * len(rows) // together for part, number in each.items()}


def as_published(model: Model, readout: Readout) -> Published:
    """Return the engine's readout in the form that the loop uses."""
    top = [(int(layer), int(head)) for layer, head in readout.heads]
    [size] = {(layer.heads, layer.head_dim) for layer in model.layout.layers}
    centroids = torch.zeros(len(readout.classes), len(model.layout.layers), *size)
    for (layer, head), own in zip(top, readout.centroids, strict=True):
        centroids[:, layer, head] = torch.from_numpy(own)
    return Published(list(readout.classes), centroids, top)


def fitted(model: Model, folder: Path, side: int) -> Readout:
    work = workloads_of(EXAMPLES, side)[0]
    extracted = savs.extract(model, workloads.samples(work, folder))
    return savs.fit(extracted.vectors, [str(s.label) for s in extracted.samples], HEADS)


def product_rate(device: torch.device) -> float:
    """Return the 10^12 operations per second of a product of square matrices in the model's dtype."""
    size = PRODUCT[device.type]
    dtype = torch.float32 if device.type == "cpu" else torch.bfloat16
    a, b = (torch.randn(size, size, device=device, dtype=dtype) for _ in range(2))
    times = []
    for _ in range(PRODUCT_RUNS + 1):
        began = time.perf_counter()
        for _ in range(PRODUCTS):
            a @ b
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        times.append(time.perf_counter() - began)
    return PRODUCTS * 2 * size**3 / statistics.median(times[1:]) / 1e12


def with_bars(figures: list[Figure], shape: str, gpu: bool) -> list[Figure]:
    """Return the figures with their bars. Bars apply to images on a GPU at a real model's size; the demo
    model spends its time on kernel launches. On a CPU in float32 all labels must be equal."""
    bars = {}
    if gpu and shape != "demo":
        bars = {f"images: {name}": bar for name, bar in BARS.items()}
        bars |= {"images: items/s": ITEMS_BAR[shape]} if shape in ITEMS_BAR else {}
    if not gpu:
        bars = {f.name: f"≥ {f.unit.split()[-1]}" for f in figures if f.name.endswith("the loop's")}
    return [replace(figure, bar=bars.get(figure.name)) for figure in figures]


def main(shape: str, device: torch.device, items: int | None = None, side: int = SIDE) -> int:
    gpu, whole = device.type == "cuda", items is None and side == SIDE
    model = shapes.build(shape, device)
    product = product_rate(device)
    figures, stages, counts = [Figure("matrix product", product, "TFLOP/s")], {}, {}
    print(figures[0], flush=True)
    with tempfile.TemporaryDirectory(prefix="savs-bench-") as place:
        readout = fitted(model, Path(place), side)
        for work in workloads_of(items or ITEMS[device.type], side):
            run = measure(work, model, readout, Path(place))
            found = with_bars(run.figures(product), shape, gpu)
            print(*found, f"  ms an item: {run.stages}", sep="\n", flush=True)
            figures += found
            stages[work.name], counts[work.name] = run.stages, run.timings.counts | run.operations
    if gpu:
        figures.append(Figure("peak memory", torch.cuda.max_memory_allocated(device) / 2**30, "GiB"))
    else:
        bars = BARS | {"items/s": ITEMS_BAR.get(shape, "")}
        told = ", ".join(f"{name} {bar}" for name, bar in bars.items() if bar)
        print(f"bars that apply only on a GPU: {told}")
    report = {
        "shape": shape,
        "machine": machine(),
        "device": torch.cuda.get_device_name(device) if gpu else "cpu",
        "dtype": model.dtype,
        "shares": model.shares,
        "versions": engine_versions(),
        "results": [figure.to_json() for figure in figures],
        "milliseconds": stages,
        "counts": counts,
    }
    if gpu and whole:
        file = RESULTS / f"gpu-{shape}.json"
        file.write_text(json.dumps(report, indent=1, ensure_ascii=False) + "\n")
    print(json.dumps(report, ensure_ascii=False))
    return 1 if any(figure.met is False for figure in figures) else 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--shape", choices=shapes.SHAPES, default=shapes.SHAPES[0])
    parser.add_argument("--device", help="default: a GPU if there is one")
    parser.add_argument("--items", type=int, help="number of images; results are not written")
    parser.add_argument("--side", type=int, default=SIDE, help="pixels; results are not written")
    asked = parser.parse_args()
    where = torch.device(asked.device or ("cuda" if torch.cuda.is_available() else "cpu"))
    sys.exit(main(asked.shape, where, asked.items, asked.side))

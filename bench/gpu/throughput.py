"""Measures from file to label: items a second, stages, operations a second, and the published loop.

Media are files: JPEG pictures, half of 448 × 448 pixels and half noisy ones of 500 × 375 that are resized,
and videos of 16 frames of 448 × 448. Every item is labelled with a fitted readout, as in a shard. Operations
are counted by `bench.engine.flops`. The loop of `bench.engine.baseline` labels a few of the same items with
the same network.
"""

import time
from collections import Counter
from dataclasses import dataclass, replace
from typing import Any

import torch

import savs
from bench.engine import flops, workloads
from bench.engine.baseline import Loop, Published
from bench.engine.runs import label
from bench.engine.workloads import Workload
from bench.figures import Figure
from bench.gpu.setting import Found, Setting
from bench.gpu.switches import plain_kernels
from savs.data.media import open_media
from savs.data.samples import Sample
from savs.engine import batches
from savs.engine.packing import PackedRow
from savs.model.model import Model
from savs.readout.fit import Readout
from savs.timings import Timings

BASELINE = 8  # prompts on which the loop is timed


@dataclass(frozen=True)
class Run:
    """The measurements of some items.

    seconds   from the first file to the last label
    loop      seconds per prompt of the published loop
    compared  number of items labelled by both
    equal     how many of these labels are equal
    """

    name: str
    prompts: int
    seconds: float
    timings: Timings
    operations: dict[str, int]
    loop: float
    compared: int
    equal: int

    @property
    def rate(self) -> float:
        """Prompts per second."""
        return self.prompts / self.seconds

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
            "stages of the device": (self.timings.seconds["device"] / self.seconds, "of the time"),
            "× the loop": (self.loop * self.rate, "×"),
            "labels that equal the loop's": (self.equal, f"of {self.compared}"),
        }
        return [Figure(f"{self.name}: {name}", *one) for name, one in found.items()]

    @property
    def details(self) -> dict[str, Any]:
        """Milliseconds per item of each stage, and counts."""
        stages = {n: round(1e3 * s / self.prompts, 3) for n, s in sorted(self.timings.seconds.items())}
        return {"milliseconds": stages, "counts": self.timings.counts | self.operations}


BARS = {"of the matrix product": "≥ 0.6"}
ITEMS_BAR = {"qwen2.5-vl-7b": "≥ 95"}  # pictures per second


def label_pictures(setting: Setting) -> Found:
    run = measure("pictures", setting.pictures, setting.model, setting.readout)
    return Found(with_bars(run.figures(setting.product), setting), run.details)


def label_videos(setting: Setting) -> Found:
    """Label videos with one question each, and with fifteen."""
    from importlib.util import find_spec

    if not find_spec("av") or not find_spec("decord"):
        return Found([], {"left out": "videos need av and decord, which are not installed"})
    few = max(2, setting.items // 16)
    figures, details = [], {}
    for name, count, questions in (("videos", few, 1), ("videos, 15 questions", max(2, few // 4), 15)):
        work = Workload(name, "", setting.side, True, count, questions, BASELINE)
        rows = workloads.samples(work, setting.folder)
        run = measure(name, rows, setting.model, setting.readout)
        figures += with_bars(run.figures(setting.product), setting)
        details[name] = run.details
    return Found(figures, details)


def with_bars(figures: list[Figure], setting: Setting) -> list[Figure]:
    """Return the figures with their bars. Bars apply to pictures on a GPU at a real model's size; the demo
    model spends its time on starting kernels. On a CPU in float32 all labels must be equal."""
    bars: dict[str, str] = {}
    if setting.gpu and setting.shape != "demo":
        bars = {f"pictures: {name}": bar for name, bar in BARS.items()}
        bars |= {"pictures: items/s": ITEMS_BAR[setting.shape]} if setting.shape in ITEMS_BAR else {}
    if not setting.gpu:
        bars = {f.name: f"≥ {f.unit.split()[-1]}" for f in figures if f.name.endswith("the loop's")}
    return [replace(figure, bar=bars.get(figure.name)) for figure in figures]


def measure(name: str, rows: list[Sample], model: Model, readout: Readout) -> Run:
    label(model, readout, rows[: max(2, len(rows) // 8)], Timings())  # warm up kernels and the allocator
    timings, began = Timings(), time.perf_counter()
    labels = label(model, readout, rows, timings)
    seconds = time.perf_counter() - began
    if len(labels) < len(rows):
        reasons = set(map(str, savs.extract(model, rows[:2]).errors.values()))
        raise RuntimeError(f"{len(rows) - len(labels)} of {len(rows)} items have no label: {reasons}")
    loop, published = Loop(model.network, model.processor), as_published(model, readout)
    few = rows[:: max(1, len(rows) // BASELINE)][:BASELINE]
    with plain_kernels():  # the loop runs what transformers has
        loop.label(published, few[0])
        began = time.perf_counter()
        said = [loop.label(published, sample) for sample in few]
        passed = (time.perf_counter() - began) / len(few)
    equal = sum(labels[sample.index] == name for sample, name in zip(few, said, strict=True))
    counted = operations(model, readout, rows)
    return Run(name, len(rows), seconds, timings, counted, passed, len(few), equal)


def operations(model: Model, readout: Readout, rows: list[Sample]) -> dict[str, int]:
    """Return the operations of all rows, from one of each size of media. Questions about the same media are
    one row if the model allows it, and all questions have one length."""
    groups: dict[tuple[str, ...], list[Sample]] = {}
    for number, sample in enumerate(rows):
        groups.setdefault(sample.media if model.shares else (str(number),), []).append(sample)
    sizes: Counter[tuple[Any, ...]] = Counter()
    first: dict[tuple[Any, ...], list[Sample]] = {}
    for group in groups.values():
        key = (_size(group[0]), len(group))
        sizes[key] += 1
        first.setdefault(key, group)
    last = max(int(layer) for layer, _ in readout.heads)
    total: Counter[str] = Counter()
    for key, number in sizes.items():
        group = first[key]
        media = tuple(open_media(address, model.sampling) for address in group[0].media)
        questions = tuple(str(sample.question) for sample in group)
        [batch], _ = batches.build(model, [PackedRow(media, questions, tuple(range(len(group))), 0)])
        each = flops.of_row(model.network.config, batch, last)
        total.update({part: count * number for part, count in each.items()})
    return dict(total)


def _size(sample: Sample) -> tuple[int, int]:
    """Return width and height of a picture; (0, 0) for a video, as all have one size."""
    from PIL import Image

    [address] = sample.media
    if address.endswith(".mp4"):
        return (0, 0)
    with Image.open(address) as picture:
        return picture.size


def as_published(model: Model, readout: Readout) -> Published:
    """Return the engine's readout in the form that the loop uses."""
    top = [(int(layer), int(head)) for layer, head in readout.heads]
    [size] = {(layer.heads, layer.head_dim) for layer in model.layout.layers}
    centroids = torch.zeros(len(readout.classes), len(model.layout.layers), *size)
    for (layer, head), own in zip(top, readout.centroids, strict=True):
        centroids[:, layer, head] = torch.from_numpy(own)
    return Published(list(readout.classes), centroids, top)

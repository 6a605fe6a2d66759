"""Measures the preparation of pictures in one thread: `python -m bench.prepare`.

The processor is that of Qwen2.5-VL with its real patches and pixel budget (`bench.engine.shapes`); there is
no network. Pictures are decoded; those of 448 × 448 pixels need no scaling. A batch is prepared with bytes
that the device normalises, and with pixels that the processor normalises; figures are medians of several
runs. The largest batch of a GPU has no bar: its time depends on how fast the machine gives out memory. Stages
are timed one by one. The last line is JSON, also written to `bench/results/prepare.json`. The exit code is 1
if the bar is missed.
"""

import json
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers as tf
from PIL import Image

from bench.engine import shapes
from bench.figures import Figure, engine_versions, machine
from savs.data.video.sampling import FrameSampling
from savs.engine.prompts import Prompt, preprocess
from savs.model.chat import find_chat
from savs.model.checkpoint import DEMO
from savs.model.heads import HeadLayout
from savs.model.model import Model
from savs.model.raw_pixels import Raw, planes
from savs.trials.raw_pixels import find_raw

RESULTS = Path(__file__).parent / "results" / "prepare.json"
RUNS = 15
BATCH = 16
LARGEST = 110  # pictures of 448 × 448 in a batch on a GPU (`savs.engine.packing.GPU_BUDGET`)
SIZES = ((448, 448), (500, 375))  # width and height
BARS = {(448, 448): 1.5}  # milliseconds a picture
QUESTION = "What is shown in this picture?"
SHAPE = "qwen2.5-vl-7b"

Step = Callable[[], Any]


def processor_alone() -> Model:
    """Return a model without a network, which can prepare prompts but not run."""
    words = tf.AutoTokenizer.from_pretrained(DEMO)
    words.model_max_length = shapes.CONTEXT
    _, processor = shapes.qwen(SHAPE, words)
    model = Model(
        name=SHAPE,
        revision="none",
        fingerprint="0" * 64,
        network=None,
        processor=processor,
        chat=find_chat(processor, SHAPE),
        projections=(),
        layout=HeadLayout(()),
        context=shapes.CONTEXT,
        sampling=FrameSampling(shapes.FRAMES),
    )
    return replace(model, raw=find_raw(model))


def measure(model: Model, size: tuple[int, int], runs: int = RUNS, batch: int = BATCH) -> list[Figure]:
    """Return milliseconds a picture of `size`, as a whole and by stage."""
    assert model.raw.images is not None, "the processor was found to return no bytes"
    pictures = _pictures(size, batch)
    prompts = [Prompt((picture,), QUESTION) for picture in pictures]
    [(_, ready)] = preprocess(model, prompts)[0]
    given, pixels = [planes(picture) for picture in pictures], ready.inputs["pixel_values"]
    rule = model.raw.images
    steps: dict[str, Step] = {
        "": lambda: preprocess(model, prompts),
        ", normalised by the processor": lambda: preprocess(replace(model, raw=Raw()), prompts),
        ", of it the channels": lambda: [planes(picture) for picture in pictures],
        ", of it the image processor": lambda: model.processor.image_processor(
            given, return_tensors="pt", input_data_format="channels_first", **rule.arguments
        ),
        ", later on a CPU: normalised": lambda: pixels.on(torch.device("cpu"), torch.float32),
    }
    took = {step: _median(run, runs) for step, run in steps.items()}
    name = f"{size[0]} × {size[1]}"
    bar = BARS.get(size)
    return [
        Figure(f"{name}{step}", seconds * 1e3 / batch, "ms", None if step or bar is None else f"≤ {bar}")
        for step, seconds in took.items()
    ]


def largest(model: Model) -> Figure:
    """Return milliseconds a picture in the largest batch."""
    prompts = [Prompt((picture,), QUESTION) for picture in _pictures((448, 448), LARGEST)]
    seconds = _median(lambda: preprocess(model, prompts), RUNS)
    return Figure(f"448 × 448, {LARGEST} a batch", seconds * 1e3 / LARGEST, "ms")


def _median(step: Step, runs: int) -> float:
    """Return the median seconds of some runs, after one that is not timed."""
    took = []
    for _ in range(runs + 1):
        began = time.perf_counter()
        step()
        took.append(time.perf_counter() - began)
    return statistics.median(took[1:])


def _pictures(size: tuple[int, int], count: int) -> list[Image.Image]:
    width, height = size
    rng = np.random.default_rng(0)
    return [Image.fromarray(rng.integers(0, 256, (height, width, 3), dtype=np.uint8)) for _ in range(count)]


def main() -> int:
    torch.set_num_threads(1)
    model, figures = processor_alone(), []
    for size in SIZES:
        figures += measure(model, size)
        print(*figures[-5:], sep="\n", flush=True)
    figures.append(largest(model))
    print(figures[-1], flush=True)
    report = {
        "machine": machine(),
        "threads": torch.get_num_threads(),
        "versions": engine_versions(),
        "results": [figure.to_json() for figure in figures],
    }
    RESULTS.write_text(json.dumps(report, indent=1, ensure_ascii=False) + "\n")
    print(json.dumps(report, ensure_ascii=False))
    return 1 if any(figure.met is False for figure in figures) else 0


if __name__ == "__main__":
    sys.exit(main())

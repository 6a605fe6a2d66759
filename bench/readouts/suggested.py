"""What `suggest` is worth: `python -m bench.readouts.suggested --cache FOLDER`; some minutes on two cores.

From 5 examples per class, 20 or 50 further rows are labelled, chosen by chance, by doubt alone, or by doubt
and variety as `suggest` does; the readout is fitted again, as `relabel` does, and tested on rows that nobody
chose from. The corpus has as many rows of each class, or ten times as many of the first class as of the
last. Prints the tables of `docs/exports.md`; the accuracy of the skewed corpus is the mean over classes.
"""

import argparse
from collections import defaultdict
from pathlib import Path

import numpy as np
import torch

import savs
from bench.readouts.draws import UNLABELLED
from bench.readouts.sets import LabelledSet, load_sets
from jobs.refit.suggest import CANDIDATES, PER_ITEM
from savs.engine.vectors import HeadVectors
from savs.estimators.features import unit_rows
from savs.estimators.variety import pick_varied
from savs.readout.choice import fit_readout
from savs.readout.classify import OneLabel, classify

NAMES = ("stroke", "conjunction", "figure", "pattern", "movement", "layout", "digits", "mnist")
SHOTS, ADDED, DRAWS = 5, (20, 50), 5
RULES = ("chance", "doubt", "doubt and variety")
Found = dict[tuple[int, str], list[float]]


def measure(given: LabelledSet, draw: int, skewed: bool, adapt: bool) -> Found:
    """Return the accuracy before, (0, ""), and by number of added rows and rule."""
    labels, classes = np.array(given.labels), list(dict.fromkeys(given.labels))
    rng = np.random.default_rng([draw, skewed, *given.name.encode()])
    train = np.concatenate([rng.permutation(np.flatnonzero(labels == name))[:SHOTS] for name in classes])
    rest = rng.permutation(np.setdiff1d(np.arange(len(labels)), train))
    pool, test = np.array_split(rest, 2)
    if skewed:
        shares = dict(zip(classes, np.geomspace(1, 0.1, len(classes)), strict=True))
        pool = np.array([n for n in pool if rng.random() < shares[given.labels[n]]])
    corpus = given.vectors[pool[:UNLABELLED]] if adapt else None

    def fitted(rows: np.ndarray) -> OneLabel:
        found = fit_readout(given.vectors[rows], labels[rows].tolist(), "auto", None, classes, corpus).readout
        assert isinstance(found, OneLabel)
        return found

    def accuracy(readout: OneLabel) -> float:
        right = np.array(
            [one.prediction for one in classify(readout, given.vectors[test])], dtype=object
        ) == labels[test].astype(object)
        if not skewed:
            return float(right.mean())
        return float(np.mean([right[labels[test] == name].mean() for name in classes]))

    first = fitted(train)
    doubt = np.array([1 - (one.margin or 0.0) for one in classify(first, given.vectors[pool])])
    order = np.argsort(-doubt, kind="stable")
    found: Found = defaultdict(list, {(0, ""): [accuracy(first)]})
    for count in ADDED:
        candidates = max(PER_ITEM * count, round(CANDIDATES * len(pool)))
        chosen = (
            rng.permutation(len(pool))[:count],
            order[:count],
            order[pick_varied(unit(given.vectors[pool[order]]), count, candidates)],
        )
        for rule, places in zip(RULES, chosen, strict=True):
            found[count, rule].append(accuracy(fitted(np.concatenate([train, pool[places]]))))
    return found


def unit(vectors: HeadVectors) -> np.ndarray:
    spans = [(columns.start, columns.stop) for columns in vectors.layout.slices().values()]
    return np.concatenate([block for _, block in unit_rows(vectors.values, spans)])


def print_table(sets: list[LabelledSet], skewed: bool, adapt: bool, draws: int) -> None:
    table: dict[tuple[int, str], list[list[float]]] = defaultdict(list)
    for given in sets:
        each: Found = defaultdict(list)
        for draw in range(draws):
            for key, values in measure(given, draw, skewed, adapt).items():
                each[key] += values
        for key, values in each.items():
            table[key].append(values)
    print(f"\n{'skewed 10:1' if skewed else 'balanced'}, {'corpus' if adapt else 'ridge'}, {draws} draws")
    print("| added | chosen by | " + " | ".join(one.name for one in sets) + " | mean | against chance |")
    print("|---" * (len(sets) + 4) + "|")
    for (count, rule), drawn in table.items():
        cells = " | ".join(f"{np.mean(one):.3f}" for one in drawn)
        apart = np.array(drawn) - np.array(table[count, RULES[0]]) if count else np.zeros((1, 1))
        spread = apart.std() / np.sqrt(apart.size)
        told = f"{100 * apart.mean():+.1f} ± {100 * spread:.1f}" if count and rule != RULES[0] else ""
        print(f"| {count} | {rule} | {cells} | {np.mean(drawn):.3f} | {told} |", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cache", type=Path, help="folder in which head vectors are kept between runs")
    parser.add_argument("--sets", nargs="+", default=NAMES, metavar="NAME")
    parser.add_argument("--draws", type=int, default=DRAWS)
    parser.add_argument("--adapt", action="store_true", help="also learn from 800 rows, as `run` does")
    arguments = parser.parse_args()
    torch.manual_seed(0)
    loaded = [*load_sets(savs.load_model("demo"), arguments.cache, arguments.sets)]
    for skewed in (False, True):
        print_table(loaded, skewed, arguments.adapt, arguments.draws)

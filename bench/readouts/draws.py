"""Draws of examples from a labelled set, and what each readout makes of them."""

import time
from dataclasses import dataclass
from typing import Any

import numpy as np

from bench.readouts.sets import LabelledSet
from savs.estimators.prior import threshold_for
from savs.readout.answer import Answer
from savs.readout.choice import Asked, fit_readout
from savs.readout.classify import classify
from savs.scores.calibration import Confidences, calibrate

UNLABELLED = 800  # rows of the corpus
PRECISION = 0.95  # asked for


@dataclass(frozen=True)
class Result:
    """One readout on the test rows of one draw.

    ece        expected calibration error, 15 bins of equal mass
    kept       share of the rows that PRECISION keeps; precision of these, NaN if there are none
    seconds    of the fit, folds included
    """

    readout: str
    accuracy: float
    ece: float
    kept: float
    precision: float
    seconds: float


def run_draw(given: LabelledSet, shots: int, draw: int) -> list[Result]:
    """Return the results of the vote, of `hec`, and of `auto` without and with a corpus, on the same
    examples. All rows that are not examples are test rows; the unlabelled ones are drawn from them, as the
    rows of a pilot are."""
    labels = np.array(given.labels)
    classes = list(dict.fromkeys(given.labels))
    rng = np.random.default_rng([draw, shots, *given.name.encode()])
    places = [rng.permutation(np.flatnonzero(labels == name))[:shots] for name in classes]
    train = np.concatenate(places)
    test = np.setdiff1d(np.arange(len(labels)), train)
    corpus = rng.choice(test, UNLABELLED, replace=False)
    runs: list[tuple[str, Asked, Any]] = [
        ("vote", "reference", None),
        ("hec", "hec", None),
        ("ridge", "auto", None),
        ("corpus", "auto", given.vectors[corpus]),
    ]
    results = []
    for name, asked, unlabelled in runs:
        began = time.perf_counter()
        readout = fit_readout(
            given.vectors[train], labels[train].tolist(), asked, None, classes, unlabelled
        ).readout
        seconds = time.perf_counter() - began
        answers = [one for one in classify(readout, given.vectors[test]) if isinstance(one, Answer)]
        assert len(answers) == len(labels[test]), "several labels per item"
        right = np.array([a.prediction == label for a, label in zip(answers, labels[test], strict=True)])
        confidence = np.array([answer.confidence for answer in answers])
        limit = threshold_for(confidence, PRECISION)
        kept = confidence >= (2.0 if limit is None else limit)
        results.append(
            Result(
                name,
                float(right.mean()),
                calibration_error(confidence, right),
                float(kept.mean()),
                float(right[kept].mean()) if kept.any() else float("nan"),
                seconds,
            )
        )
    return results


def calibration_error(confidence: np.ndarray, right: np.ndarray) -> float:
    """Return the expected calibration error as summaries have it."""
    found = Confidences()
    for one, hit in zip(confidence.tolist(), right.tolist(), strict=True):
        found.add(one, hit)
    scores = calibrate(found)
    assert scores is not None
    return scores.ece

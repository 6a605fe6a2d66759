"""From a score of one label to its probability, and the threshold from which an item has the label.

Both are fitted on leave-one-out scores: each example's score is by a readout that was fitted on the others.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

STEPS = 100  # of Newton's method; it takes about ten
PRECISE = 1e-10  # gradient at which it ends
MIDDLE = 0.5  # the threshold of a label that cannot be told


def sigmoid(logits: "np.ndarray") -> "np.ndarray":
    """Return float64: 1 / (1 + exp(−logits)), without overflow."""
    import numpy as np

    logits = np.asarray(logits, np.float64)
    small = np.exp(-np.abs(logits))
    shares: np.ndarray = np.where(logits >= 0, 1.0, small) / (1 + small)
    return shares


def fit_sigmoid(scores: "np.ndarray", positive: "np.ndarray") -> tuple[float, float]:
    """Return slope a ≥ 0 and offset b of p = sigmoid(a · score + b), of least log loss.

    scores    float [n]
    positive  bool [n]; both values occur

    As in Platt 1999 ("Probabilistic outputs for support vector machines"), the targets are not 0 and 1 but
    1 / (N₋ + 2) and (N₊ + 1) / (N₊ + 2), so that the loss has a minimum if the scores separate the examples.
    If a would be negative it is 0, and p the share of positive examples: scores that leave out the example
    itself are a little lower for positive ones, so that scores without information seem to be reversed.
    """
    import numpy as np

    count = int(positive.sum())
    high, low = (count + 1) / (count + 2), 1 / (len(positive) - count + 2)
    targets = np.where(positive, high, low)
    constant = float(np.log(targets.mean() / (1 - targets.mean())))
    mean, spread = float(scores.mean()), float(scores.std())
    if spread == 0:
        return 0.0, constant
    z = (scores - mean) / spread
    found = np.array([0.0, constant])

    def loss(at: "np.ndarray") -> float:
        logits = at[0] * z + at[1]
        return float((np.logaddexp(0, logits) - targets * logits).sum())

    for _ in range(STEPS):
        p = sigmoid(found[0] * z + found[1])
        gradient = np.array([((p - targets) * z).sum(), (p - targets).sum()])
        if np.abs(gradient).max() < PRECISE:
            break
        w = p * (1 - p)
        curve = np.array([[(w * z * z).sum(), (w * z).sum()], [(w * z).sum(), w.sum()]])
        step = np.linalg.solve(curve + 1e-12 * np.eye(2), gradient)
        size, before = 1.0, loss(found)
        while loss(found - size * step) > before and size > PRECISE:
            size /= 2
        found = found - size * step
    slope = float(found[0]) / spread
    return (slope, float(found[1]) - slope * mean) if slope > 0 else (0.0, constant)


def f1_threshold(probabilities: "np.ndarray", slope: float) -> float:
    """Return the threshold of best F1 of "probability ≥ threshold" for rows like these, float [n].

    It is half the best F1 that can be reached (Lipton, Elkan and Naryanaswamy 2014, arXiv 1402.1892). That F1
    is estimated from the probabilities alone: of the k most probable rows it is 2 · Σ their p / (k + Σ p).
    The threshold of best F1 on the examples' own labels follows single examples if there are few, and was
    worse on other rows from 40 examples on (`bench.readouts.lists`).

    A label that cannot be told (`slope` is 0) has MIDDLE: all rows would have it, else.
    """
    import numpy as np

    if slope == 0:
        return MIDDLE
    ordered = np.sort(probabilities)[::-1]
    reached = 2 * np.cumsum(ordered) / (np.arange(1, len(ordered) + 1) + ordered.sum())
    return float(reached.max()) / 2

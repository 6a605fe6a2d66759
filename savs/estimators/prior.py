"""The class shares of a corpus, estimated from the probabilities of its rows."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

ROUNDS = 200
SMALL = 1e-6  # change of a share below which the estimate stands
LEAST = 1e-4  # of a share, so that no class becomes impossible


def estimate_prior(probabilities: "np.ndarray", prior: "np.ndarray") -> "np.ndarray":
    """Return float64 [classes]: the shares under which n rows with these probabilities are most likely.

    probabilities  [n, classes], of a classifier that was fitted under `prior`
    prior          float64 [classes], sums to 1

    Expectation maximisation of Saerens, Latinne and Decaestecker, "Adjusting the outputs of a classifier to
    new a priori probabilities" (Neural Computation 14, 2002).
    """
    import numpy as np

    shares = prior
    for _ in range(ROUNDS):
        weighted = probabilities * (shares / prior)
        found = (weighted / weighted.sum(axis=1, keepdims=True)).mean(axis=0)
        done = float(np.abs(found - shares).max()) < SMALL
        shares = found
        if done:
            break
    bounded: np.ndarray = np.maximum(shares, LEAST)
    bounded /= bounded.sum()
    return bounded


def threshold_for(confidences: "np.ndarray", precision: float) -> float | None:
    """Return the least confidence so that rows of at least this confidence have a mean confidence of at least
    `precision`; None if no row reaches it. `confidences` [n] are calibrated probabilities of the
    predictions."""
    import numpy as np

    ranked = np.sort(confidences)[::-1]
    means = np.cumsum(ranked) / np.arange(1, len(ranked) + 1)
    kept = int((means >= precision).sum())  # the means descend
    return float(ranked[kept - 1]) if kept else None

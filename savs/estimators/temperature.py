"""The temperature that turns scores into probabilities, and the probabilities."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

STEPS = 161  # of the grid
LEAST, MOST = 0.01, 100.0


def softmax(scores: "np.ndarray") -> "np.ndarray":
    """Return float64 [n, classes]: probabilities of scores [n, classes]."""
    import numpy as np

    scores = np.asarray(scores, np.float64)
    powers = np.exp(scores - scores.max(axis=-1, keepdims=True))
    shares: np.ndarray = powers / powers.sum(axis=-1, keepdims=True)
    return shares


def log_loss(scores: "np.ndarray", numbers: "np.ndarray") -> float:
    """Return the mean of −log softmax(scores) of the true classes `numbers` [n]."""
    import numpy as np

    top = scores.max(axis=-1)
    sums = top + np.log(np.exp(scores - top[:, None]).sum(axis=-1))
    return float(np.mean(sums - scores[np.arange(len(scores)), numbers]))


def fit_temperature(scores: "np.ndarray", numbers: "np.ndarray") -> float:
    """Return the t from 0.01 to 100 of least log loss of softmax(scores / t); `numbers` are the classes.
    (Guo et al. 2017, arXiv 1706.04599: temperature scaling.)"""
    import numpy as np

    grid = np.geomspace(LEAST, MOST, STEPS)
    return float(grid[int(np.argmin([log_loss(scores / t, numbers) for t in grid]))])

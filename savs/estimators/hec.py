"""Gaussian discriminants, one per head, whose probabilities are averaged over the best heads (HEC-V of
arXiv 2603.24181, with the shrinkage of Chen et al. 2010, arXiv 0907.4698)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from savs.estimators.features import unit_rows
from savs.estimators.temperature import softmax

if TYPE_CHECKING:
    import numpy as np

FLATTENING = 10.0  # log densities are divided by it, as published
FLOOR = 1e-4  # of the mean variance of a vector of length 1, added: some heads are constant up to rounding


@dataclass(frozen=True)
class HecFit:
    """The fit of the best heads.

    heads       int64 [k]: numbers of the heads, the best first
    weights     k arrays float64 [width of the head, classes]
    intercepts  float64 [k, classes]
    rows        int64 [r]: the rows whose class has another example
    loo         float64 [r, classes]: log of their mean probability over these heads, each row without itself

    The choice of heads and the amount of shrinkage have seen all rows, so that `loo` is slightly optimistic.
    """

    heads: "np.ndarray"
    weights: "tuple[np.ndarray, ...]"
    intercepts: "np.ndarray"
    rows: "np.ndarray"
    loo: "np.ndarray"


@dataclass(frozen=True)
class _Head:
    """One head's discriminant, and the probabilities [r, classes] of rows by the fit without each."""

    weights: "np.ndarray"
    intercept: "np.ndarray"
    loo: "np.ndarray"


def fit_hec(
    values: "np.ndarray", numbers: "np.ndarray", classes: int, spans: Sequence[tuple[int, int]], heads: int
) -> HecFit:
    """Return the discriminants of the `heads` heads with the highest mean leave-one-out probability of the
    true class.

    values   [n, width]
    numbers  int64 [n]: classes of the rows
    spans    (first, last + 1) column of each head

    Per head, with x̂ of length 1, class means μ, pooled covariance S shrunk to Σ, and shares π of the
    classes: ℓ = −½ (x̂ − μ)ᵀ Σ⁻¹ (x̂ − μ) + log π, z = softmax(ℓ / 10). The answer is the mean z.
    """
    import numpy as np

    counts = np.bincount(numbers, minlength=classes)
    rows = np.flatnonzero(counts[numbers] > 1)
    unit = np.concatenate([block for _, block in unit_rows(values, spans)])
    found = [_fit_head(unit[:, a:b].astype(np.float64), numbers, counts, rows) for a, b in spans]
    true = numbers[rows]
    means = [float(one.loo[np.arange(len(rows)), true].mean()) if len(rows) else 0.0 for one in found]
    best = np.argsort(-np.array(means), kind="stable")[:heads]
    chosen = [found[number] for number in best]
    mean = np.mean([one.loo for one in chosen], axis=0)
    return HecFit(
        heads=best,
        weights=tuple(one.weights for one in chosen),
        intercepts=np.stack([one.intercept for one in chosen]),
        rows=rows,
        loo=np.log(np.maximum(mean, np.finfo(float).tiny)),
    )


def _fit_head(x: "np.ndarray", numbers: "np.ndarray", counts: "np.ndarray", rows: "np.ndarray") -> _Head:
    import numpy as np

    n, width = x.shape
    means = np.stack([x[numbers == number].mean(0) for number in range(len(counts))])
    apart = x - means[numbers]
    covariance = apart.T @ apart / n
    shrinkage = oas_shrinkage(covariance, n)
    size = float(np.trace(covariance)) / width
    shrunk = (1 - shrinkage) * covariance + (shrinkage * size + FLOOR / width) * np.eye(width)
    precision = np.linalg.inv(shrunk)
    log_shares = np.log(counts / n)
    weights = precision @ means.T
    constant = np.einsum("cd,dc->c", means, weights)
    # Each row without itself: S changes by a multiple of uuᵀ, u = x − μ of its class, and Σ⁻¹ by the formula
    # of Sherman and Morrison.
    u, left = apart[rows], counts[numbers[rows]]
    turned = u @ precision
    own = np.einsum("nd,nd->n", turned, u)
    factor = (1 - shrinkage) / n * left / (left - 1)
    grown = factor / np.maximum(1 - factor * own, np.finfo(float).eps)
    squares = np.einsum("nd,nd->n", x[rows] @ precision, x[rows])
    distance = squares[:, None] - 2 * x[rows] @ weights + constant
    across = np.einsum("nd,nd->n", turned, x[rows])[:, None] - turned @ means.T
    distance += grown[:, None] * across**2
    distance[np.arange(len(rows)), numbers[rows]] = (left / (left - 1)) ** 2 * (own + grown * own**2)
    loo = softmax((log_shares - distance / 2) / FLATTENING) if len(rows) else np.zeros((0, len(counts)))
    return _Head(weights / FLATTENING, (log_shares - constant / 2) / FLATTENING, loo)


def oas_shrinkage(covariance: "np.ndarray", n: int) -> float:
    """Return the share ρ of the mean variance in Σ = (1 − ρ) S + ρ tr(S)/d · I, for the covariance S
    [d, d] of n rows: the oracle approximating shrinkage, equation 23 of Chen et al. 2010 in the form of
    scikit-learn's."""
    import numpy as np

    width = len(covariance)
    size = float(np.trace(covariance)) / width
    spread = float(np.mean(covariance**2))
    below = (n + 1) * (spread - size**2 / width)
    return 1.0 if below <= 0 else min((spread + size**2) / below, 1.0)

"""Ridge regression on one-hot targets with an intercept, and its exact leave-one-out scores.

In the dual form: the cost depends on the number of rows, not on the number of features.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

# Times rows, for features of mean squared length 1.
PENALTIES = tuple(10 ** (step / 2) for step in range(-8, 5))
HEAD_PENALTIES = (0.01, 0.1, 1.0)  # times the mean eigenvalue of a head's scatter
# Of a row: it would be divided by zero. A lower bound would hide errors: with few rows 1 − leverage is 10⁻⁴.
MOST_LEVERAGE = 1 - 1e-9


@dataclass(frozen=True)
class RidgeFit:
    """A ridge in its dual form.

    penalty  the chosen λ
    dual     float64 [n, classes]: scores are (z − z̄) Z_cᵀ dual + intercept, with z̄ the mean
    intercept  float64 [classes]
    loo      float64 [n, classes]: each row's scores by the ridge fitted on the others, at the same λn
    """

    penalty: float
    dual: "np.ndarray"
    intercept: "np.ndarray"
    loo: "np.ndarray"


def gram(features: "np.ndarray") -> "np.ndarray":
    """Return float64 [n, n]: the inner products of rows float32 [n, width], in blocks of columns."""
    import numpy as np

    total = np.zeros((len(features), len(features)))
    for start in range(0, features.shape[1], 8192):  # sums of float32 lose digits over many columns
        block = features[:, start : start + 8192]
        total += block @ block.T
    return total


def fit_ridge(inner: "np.ndarray", targets: "np.ndarray", penalties: Sequence[float] = PENALTIES) -> RidgeFit:
    """Return the ridge of least mean squared leave-one-out error.

    inner    float64 [n, n]: inner products of the rows' features about any origin
    targets  float64 [n, classes]

    K = Z_c Z_cᵀ = V diag(e) Vᵀ; F = V diag(e/(e+λn)) Vᵀ Y_c + ȳ; leverage h = 1/n + Σ_j V_ij² e_j/(e_j+λn);
    leave-one-out scores Y − (Y − F)/(1 − h).
    """
    import numpy as np

    n = len(targets)
    e, v = np.linalg.eigh(_centred(inner))
    e = np.maximum(e, 0.0)
    mean = targets.mean(0)
    turned = v.T @ (targets - mean)
    best: tuple[float, RidgeFit] | None = None
    for penalty in penalties:
        shrunk = 1 / (e + penalty * n)
        leverage = np.minimum(1 / n + (v * v) @ (e * shrunk), MOST_LEVERAGE)
        fitted = v @ ((e * shrunk)[:, None] * turned) + mean
        loo = targets - (targets - fitted) / (1 - leverage)[:, None]
        error = float(np.mean((targets - loo) ** 2))
        if best is None or error < best[0]:
            best = error, RidgeFit(penalty, v @ (shrunk[:, None] * turned), mean, loo)
    assert best is not None
    return best[1]


def loo_explained(features: "np.ndarray", targets: "np.ndarray", penalties: Sequence[float]) -> float:
    """Return R² = 1 − Σ e²/Σ (Y − Ȳ)² of a ridge's leave-one-out errors e, of the best penalty.

    features   [n, width], of one head
    penalties  times the mean eigenvalue of the features' scatter
    """
    import numpy as np

    n, width = features.shape
    z = features.astype(np.float64)
    z -= z.mean(0)
    centred = targets - targets.mean(0)
    if width <= n:
        e, turn = np.linalg.eigh(z.T @ z)
    else:
        e, turn = np.linalg.eigh(z @ z.T)
    size = float(z.shape[1])
    mean = float(e.sum()) / size
    keep = e > max(float(e[-1]), 0.0) * 1e-12
    if mean <= 0 or not keep.any():
        return 0.0
    e, turn = e[keep], turn[:, keep]
    u = z @ turn / np.sqrt(e) if width <= n else turn
    turned = u.T @ centred
    total = float((centred**2).sum())
    best = -np.inf
    for penalty in penalties:
        shares = e / (e + penalty * mean)
        leverage = np.minimum(1 / n + (u * u) @ shares, MOST_LEVERAGE)
        error = (centred - u @ (shares[:, None] * turned)) / (1 - leverage)[:, None]
        best = max(best, 1 - float((error**2).sum()) / total)
    return best


def _centred(inner: "np.ndarray") -> "np.ndarray":
    means = inner.mean(0)
    centred: np.ndarray = inner - means[:, None] - means[None, :] + means.mean()
    return centred

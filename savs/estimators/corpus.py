"""A ridge that also learns from unlabelled rows of the corpus (self-training in closed form)."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from savs.estimators.temperature import fit_temperature, softmax

if TYPE_CHECKING:
    import numpy as np

LEAST_ROWS = 200  # unlabelled rows from which on it is better than the ridge
PENALTY = 1e-4
PENALTY_ROWS = 800  # unlabelled rows for which PENALTY is meant; fewer need more
ROUNDS = 4
MOST_LEVERAGE = 0.999  # of a row


@dataclass(frozen=True)
class CorpusFit:
    """The fit in its dual form: scores are (z − z̄) Z_cᵀ dual + intercept, with z̄ = Σ ω z.

    shares       float64 [n + m]: ω, of the labelled rows, then of the unlabelled ones
    dual         float64 [n + m, classes]
    loo          float64 [n, classes]: scores of the labelled rows, each without its own target
    temperature  of least leave-one-out log loss
    """

    shares: "np.ndarray"
    dual: "np.ndarray"
    intercept: "np.ndarray"
    loo: "np.ndarray"
    temperature: float


def fit_corpus(
    inner: "np.ndarray", targets: "np.ndarray", numbers: "np.ndarray", start: "np.ndarray"
) -> CorpusFit:
    """Return the fit.

    inner    float64 [n + m, n + m]: inner products of the features of n labelled and m unlabelled rows
    targets  one-hot float64 [n, classes]
    numbers  int [n]: their classes
    start    float64 [m, classes]: probabilities of the unlabelled rows by the ridge

    Labelled rows share half of the weight, unlabelled ones the other half. K̃ = √ω Z_c Z_cᵀ √ω,
    H = K̃ (K̃ + λI)⁻¹. In each round the unlabelled rows' targets are their probabilities, and every row is
    scored without its own target: (F − hY)/(1 − h) with h_i = H_ii + ω_i, at most 0.999.
    """
    import numpy as np

    n, m = len(targets), len(start)
    shares = np.concatenate([np.full(n, 0.5 / n), np.full(m, 0.5 / m)])
    roots = np.sqrt(shares)
    means = inner @ shares
    centred = inner - means[:, None] - means[None, :] + shares @ means
    e, v = np.linalg.eigh(roots[:, None] * centred * roots[None, :])
    e = np.maximum(e, 0.0)
    penalty = PENALTY * float(np.clip((PENALTY_ROWS / m) ** 0.8, 1.0, 3.0))
    kept = e / (e + penalty)
    leverage = np.minimum((v * v) @ kept + shares, MOST_LEVERAGE)[:, None]
    guess = start
    for _ in range(ROUNDS):
        wanted = np.concatenate([targets, guess])
        mean = shares @ wanted
        turned = v.T @ (roots[:, None] * (wanted - mean))
        fitted = (v @ (kept[:, None] * turned)) / roots[:, None] + mean
        free = (fitted - leverage * wanted) / (1 - leverage)
        temperature = fit_temperature(free[:n], numbers)
        guess = softmax(free[n:] / temperature)
    dual = roots[:, None] * (v @ (turned / (e + penalty)[:, None]))
    return CorpusFit(shares, dual, mean, free[:n], temperature)

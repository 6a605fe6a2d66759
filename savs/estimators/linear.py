"""Linear readouts of head vectors: the ridge, and its mean with the ridge that learns from the corpus."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TYPE_CHECKING

from savs.estimators.corpus import fit_corpus
from savs.estimators.features import Scaling, fit_scaling, unit_rows
from savs.estimators.ridge import fit_ridge, gram
from savs.estimators.temperature import fit_temperature, softmax

if TYPE_CHECKING:
    import numpy as np

FOLDS = 5


@dataclass(frozen=True)
class LinearMap:
    """Class scores of head vectors whose heads have length 1: x̂ · weights + intercept.

    weights    float64 [width, classes]
    intercept  float64 [classes]
    """

    spans: tuple[tuple[int, int], ...]
    weights: "np.ndarray"
    intercept: "np.ndarray"

    def scores(self, values: "np.ndarray") -> "np.ndarray":
        """Return float64 [n, classes] of raw head vectors [n, width]."""
        import numpy as np

        out = np.empty((len(values), len(self.intercept)))
        for rows, unit in unit_rows(values, self.spans):
            out[rows] = unit @ self.weights + self.intercept
        return out


@dataclass(frozen=True)
class Problem:
    """What a readout is fitted on.

    labelled    float32 [n, width]
    numbers     int64 [n]: their classes
    classes     how many classes there are
    spans       (first, last + 1) column of each head
    unlabelled  float32 [m, width] of the corpus, or None
    apart       whether labelled and unlabelled rows are standardised each by their own statistics
    """

    labelled: "np.ndarray"
    numbers: "np.ndarray"
    classes: int
    spans: Sequence[tuple[int, int]]
    unlabelled: "np.ndarray | None" = None
    apart: bool = False

    def only(self, heads: "np.ndarray") -> "Problem":
        """Return the problem with only some of its heads, which are given in ascending order."""
        import numpy as np

        columns = np.concatenate([np.arange(*self.spans[head]) for head in heads])
        ends = np.cumsum([0, *(self.spans[head][1] - self.spans[head][0] for head in heads)]).tolist()
        others = None if self.unlabelled is None else self.unlabelled[:, columns]
        return replace(
            self,
            labelled=self.labelled[:, columns],
            spans=tuple(pairwise(ends)),
            unlabelled=others,
        )


@dataclass(frozen=True)
class LinearFit:
    """Both readouts of a problem; `corpus` is None without unlabelled rows.

    weights      float64 [heads]: of each head
    ridge_loo    float64 [n, classes]: scores of each labelled row by the ridge fitted on the others
    corpus_loo   the same of the mean of both, each row without its own target

    Features, head weights and the unlabelled rows' targets are those of all rows, so that both are slightly
    optimistic; `hold_out` is not.
    """

    weights: "np.ndarray"
    ridge: LinearMap
    ridge_loo: "np.ndarray"
    corpus: LinearMap | None
    corpus_loo: "np.ndarray | None"


def fit_linear(problem: Problem, for_labelled: bool = False) -> LinearFit:
    """Return both readouts, for rows of the corpus, or for rows like the labelled ones: this makes a
    difference only if they are standardised apart. The one called `corpus` is the mean of the scores of the
    ridge and of `savs.estimators.corpus`: it is as accurate as the latter, and its confidence is better."""
    import numpy as np

    targets = np.eye(problem.classes)[problem.numbers]
    ours, theirs, weights = fit_scaling(
        problem.labelled, targets, problem.spans, problem.unlabelled, problem.apart
    )
    n = len(targets)
    features = ours.apply(problem.labelled)
    if problem.unlabelled is None:
        ridge = fit_ridge(gram(features), targets)
        own = affine_map(features, np.full(n, 1 / n), ridge.dual, ridge.intercept, ours)
        return LinearFit(weights, own, ridge.loo, None, None)
    features = np.concatenate([features, theirs.apply(problem.unlabelled)])
    inner = gram(features)
    ridge = fit_ridge(inner[:n, :n], targets)
    even = np.full(n, 1 / n)
    start = affine_map(features[:n], even, ridge.dual, ridge.intercept, theirs).scores(problem.unlabelled)
    start /= fit_temperature(ridge.loo, problem.numbers)
    fit = fit_corpus(inner, targets, problem.numbers, softmax(start))
    shown = ours if for_labelled else theirs
    own = affine_map(features[:n], even, ridge.dual, ridge.intercept, shown)
    corpus = affine_map(features, fit.shares, fit.dual, fit.intercept, shown)
    both = LinearMap(own.spans, (own.weights + corpus.weights) / 2, (own.intercept + corpus.intercept) / 2)
    return LinearFit(weights, own, ridge.loo, both, (ridge.loo + fit.loo) / 2)


def affine_map(
    features: "np.ndarray",
    shares: "np.ndarray",
    dual: "np.ndarray",
    intercept: "np.ndarray",
    scaling: Scaling,
) -> LinearMap:
    """Return the map of (z − Σ ω z) Zᵀ dual + intercept, with the scaling folded in."""
    weights = features.T @ dual.astype(features.dtype)
    weights = weights.astype("float64")  # dual sums to 0 over rows, so that the centre of Z cancels
    centre = shares.astype(features.dtype) @ features
    weights *= scaling.scale[:, None]
    offset = intercept - (centre / scaling.scale + scaling.mean) @ weights
    return LinearMap(scaling.spans, weights, offset)


@dataclass(frozen=True)
class HeldOut:
    """Scores of labelled rows by readouts that were fitted without them, in folds.

    rows    int64 [k]: the rows that could be held out: a class needs an example that stays
    ridge   float64 [k, classes]
    corpus  float64 [k, classes], or None
    """

    rows: "np.ndarray"
    ridge: "np.ndarray"
    corpus: "np.ndarray | None"


def hold_out(problem: Problem, folds: int = FOLDS) -> HeldOut:
    """Return the scores of every row whose class has another example, each from a fit without its fold.
    The folds have the classes' shares; they follow from the rows' order."""
    import numpy as np

    place = fold_numbers(problem.numbers, folds)
    rows = np.flatnonzero(place >= 0)
    ridge = np.zeros((len(problem.numbers), problem.classes))
    corpus = None if problem.unlabelled is None else ridge.copy()
    for fold in np.unique(place[rows]):
        out = place == fold
        part = replace(problem, labelled=problem.labelled[~out], numbers=problem.numbers[~out])
        found = fit_linear(part, for_labelled=True)
        held = problem.labelled[out]
        ridge[out] = found.ridge.scores(held)
        if corpus is not None and found.corpus is not None:
            corpus[out] = found.corpus.scores(held)
    return HeldOut(rows, ridge[rows], None if corpus is None else corpus[rows])


def fold_numbers(numbers: "np.ndarray", folds: int) -> "np.ndarray":
    """Return int64 [n]: the fold of each row, so that each class is spread evenly over the folds; −1 for the
    only example of a class."""
    import numpy as np

    place = np.full(len(numbers), -1)
    begin = 0
    for number in np.unique(numbers):
        rows = np.flatnonzero(numbers == number)
        if len(rows) > 1:
            place[rows] = (np.arange(len(rows)) + begin) % folds
            begin += len(rows)
    return place

"""Several labels per item: a ridge of each label against the rest, on features that all labels share."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from savs.estimators.features import fit_scaling
from savs.estimators.linear import LinearMap, affine_map
from savs.estimators.ridge import fit_ridge, gram
from savs.estimators.sigmoid import f1_threshold, fit_sigmoid, sigmoid

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True)
class MultiFit:
    """A ridge with several labels per item. Its probabilities are sigmoid(slopes · scores + offsets).

    weights     float64 [heads]: of each head
    map         the scores of the labels
    slopes, offsets  float64 [labels]
    thresholds  float64 [labels]: probability from which an item has the label
    loo         float64 [n, labels]: probabilities of each example by the ridge fitted on the others
    """

    weights: "np.ndarray"
    map: LinearMap
    slopes: "np.ndarray"
    offsets: "np.ndarray"
    thresholds: "np.ndarray"
    loo: "np.ndarray"


def fit_multi(
    labelled: "np.ndarray",
    targets: "np.ndarray",
    spans: Sequence[tuple[int, int]],
    unlabelled: "np.ndarray | None" = None,
    apart: bool = False,
) -> MultiFit:
    """Return the ridge of `targets`, with one penalty for all labels.

    labelled    float32 [n, width]
    targets     bool [n, labels]; each label has an example with and one without it
    spans       (first, last + 1) column of each head
    unlabelled  float32 [m, width] of the corpus, or None; only the features' mean and spread depend on them
    apart       whether labelled and unlabelled rows are standardised each by their own statistics
    """
    import numpy as np

    numbers = targets.astype(np.float64)
    ours, theirs, weights = fit_scaling(labelled, numbers, spans, unlabelled, apart)
    features = ours.apply(labelled)
    ridge = fit_ridge(gram(features), numbers)
    shares = np.full(len(numbers), 1 / len(numbers))
    scores = affine_map(features, shares, ridge.dual, ridge.intercept, theirs)
    pairs = [fit_sigmoid(ridge.loo[:, label], targets[:, label]) for label in range(targets.shape[1])]
    slopes, offsets = np.array(pairs).T
    loo = sigmoid(ridge.loo * slopes + offsets)
    thresholds = [f1_threshold(loo[:, label], slope) for label, slope in enumerate(slopes)]
    return MultiFit(weights, scores, slopes, offsets, np.array(thresholds), loo)

"""Whether two groups of head vectors come from different sources."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from savs.estimators.features import standardise
from savs.estimators.ridge import fit_ridge, gram

if TYPE_CHECKING:
    import numpy as np

UNLIKE = 0.5  # from here on; see docs/method.md for what was measured on either side


def difference(first: "np.ndarray", second: "np.ndarray", spans: Sequence[tuple[int, int]]) -> float:
    """Return how well a ridge tells rows of `first` [n, width] from those of `second` [m, width]: R² of its
    leave-one-out errors, at most 1; about 0 if it cannot."""
    import numpy as np

    mark = np.concatenate([np.ones(len(first)), np.zeros(len(second))])
    targets = np.stack([mark, 1 - mark], axis=1)
    rows = np.concatenate([first, second])
    features = standardise([rows], spans).apply(rows)
    features /= np.sqrt(features.shape[1])
    errors = mark - fit_ridge(gram(features), targets).loo[:, 0]
    return 1 - float((errors**2).sum() / ((mark - mark.mean()) ** 2).sum())

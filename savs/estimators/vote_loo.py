"""The published vote, leaving one example out: each example is labelled by the heads and centroids that are
fitted on the others (arXiv 2412.00142, sections 3.2 and 3.3)."""

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np


def vote_without(
    values: "np.ndarray", numbers: "np.ndarray", classes: int, spans: Sequence[tuple[int, int]], heads: int
) -> "np.ndarray":
    """Return int64 [n, heads]: the class that each of `heads` heads names for each of n rows. The heads are
    chosen without the row, the best first.

    values   [n, width]
    numbers  int64 [n]: the rows' classes; the only example of a class gets no vote for it

    Cosines with a centroid from which one row was taken out follow from the inner products of rows, so that
    each head costs n² comparisons and not n fits.
    """
    import numpy as np

    n = len(numbers)
    right = np.zeros((len(spans), n), np.int64)  # of the other rows, how many the head names right
    named = np.zeros((len(spans), n), np.int64)
    onehot = np.eye(classes)[numbers]
    counts = onehot.sum(0)
    same = numbers[:, None] == numbers[None, :]
    for place, (start, stop) in enumerate(spans):
        rows = values[:, start:stop].astype(np.float64)
        lengths = np.linalg.norm(rows, axis=1)
        rows /= np.where(lengths > 0, lengths, 1)[:, None]
        raw = values[:, start:stop].astype(np.float64)
        sums = onehot.T @ raw
        whole = rows @ sums.T / np.maximum(np.linalg.norm(sums, axis=1), 1e-300)  # cosines [n, classes]
        taken = sums[numbers] - raw  # of each row's class, without the row
        size = np.linalg.norm(taken, axis=1)
        left = rows @ taken.T / np.maximum(size, 1e-300)  # [row, row that is left out]
        left[:, counts[numbers] < 2] = -np.inf
        # The best of the other classes, for each row and class that changes.
        ranked = np.sort(whole, axis=1)[:, ::-1]
        first = whole.argmax(1)
        others = np.where(first[:, None] == np.arange(classes), ranked[:, 1:2], ranked[:, :1])
        against = others[:, numbers]  # [row, left out]: the most cosine with a class that does not change
        own = whole[np.arange(n), numbers][:, None]
        hits = np.where(same, left > against, (own >= against) & (own > left))
        np.fill_diagonal(hits, False)
        right[place] = hits.sum(0)
        mine = np.diagonal(left)
        without = np.where(onehot > 0, -np.inf, whole)
        named[place] = np.where(mine > without.max(1), numbers, without.argmax(1))
    chosen = np.argsort(right, axis=0)[-heads:][::-1]  # [heads, n], in the published order of equal ones
    return np.take_along_axis(named, chosen, axis=0).T


def winners(named: "np.ndarray") -> "np.ndarray":
    """Return int64 [n]: the class with the most votes of each row of `vote_without`; of equal ones the one
    that the best head names, as published."""
    import numpy as np

    return np.array([Counter(row).most_common(1)[0][0] for row in named.tolist()], np.int64)


def head_scores(
    values: "np.ndarray", numbers: "np.ndarray", classes: int, spans: Sequence[tuple[int, int]]
) -> "np.ndarray":
    """Return int32 [heads]: how many of n rows each head alone names right, by centroids of all rows, as
    published. Cosines that are equal up to rounding may be decided in another way than there. Arguments as in
    `vote_without`."""
    import numpy as np

    right = [int(np.trace(one)) for one in head_confusions(values, numbers, classes, spans)]
    return np.array(right, np.int32)


def head_confusions(
    values: "np.ndarray", numbers: "np.ndarray", classes: int, spans: Sequence[tuple[int, int]]
) -> "Iterator[np.ndarray]":
    """Yield int32 [classes, classes] of each head: rows by their class and by the class that the head names.
    Arguments and rounding as in `head_scores`."""
    import numpy as np

    onehot = np.eye(classes)[numbers]
    for start, stop in spans:
        rows = values[:, start:stop].astype(np.float64)
        sums = onehot.T @ rows
        cosines = rows @ (sums / np.maximum(np.linalg.norm(sums, axis=1, keepdims=True), 1e-300)).T
        found = np.zeros((classes, classes), np.int32)
        np.add.at(found, (numbers, cosines.argmax(1)), 1)
        yield found

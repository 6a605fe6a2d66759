"""Picks a few of many items that are doubtful and unlike one another, for people to label.

The most doubtful items are often alike: several pictures of the one thing that the readout does not know.
k-means divides the doubtful ones into as many clusters as items are wanted, and the item nearest to each
centre is picked.
"""

from itertools import islice
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np

DIMENSIONS = 2048  # of vectors that are compared; longer ones are sketched
ROUNDS = 10  # of k-means
BLOCK = 256  # vectors that are compared with others at a time
NEAR = 0.005  # × mean squared distance between items, below which two show the same
SEED = 20


def sketch(vectors: "np.ndarray", dimensions: int = DIMENSIONS) -> "np.ndarray":
    """Return float32 [n, at most `dimensions`] of float32 [n, width]: shorter vectors with nearly the same
    distances. Columns are dealt out at random, and added up with random signs (count sketch)."""
    import numpy as np

    width = vectors.shape[1]
    if width <= dimensions:
        return vectors
    rng = np.random.default_rng(SEED)
    groups = -(-width // dimensions)
    signs = rng.choice(np.array([-1, 1], np.float32), width)
    order = rng.permutation(width)
    padded = np.zeros((len(vectors), groups * dimensions), np.float32)
    padded[:, :width] = vectors[:, order] * signs
    found: np.ndarray = padded.reshape(len(vectors), dimensions, groups).sum(axis=2)
    return found


def pick_varied(vectors: "np.ndarray", count: int, candidates: int) -> list[int]:
    """Return the numbers of at most `count` items of float32 [n, width], the most doubtful first, of which no
    two are nearly the same. The same vectors give the same items.

    vectors     of items, the most doubtful first
    candidates  how many of the first ones are picked from, copies not counted
    """
    import numpy as np

    if not len(vectors) or count < 1:
        return []
    centred = vectors - vectors.mean(axis=0)
    numbers = np.array(_distinct(centred, max(candidates, count)))
    few = centred[numbers]
    labels, centres = _clusters(few, min(count, len(few)))
    apart = _squared(few, centres)[np.arange(len(few)), labels]
    picked = {int(members[apart[members].argmin()]) for members in map(np.flatnonzero, _members(labels))}
    left = (place for place in range(len(few)) if place not in picked)
    picked |= set(islice(left, min(count, len(few)) - len(picked)))  # for clusters that became empty
    found: list[int] = numbers[sorted(picked)].tolist()
    return found


def _members(labels: "np.ndarray") -> "Iterator[np.ndarray]":
    """Yield for each cluster where its items are, bool [n]."""
    for label in sorted({*labels.tolist()}):
        yield labels == label


def _distinct(vectors: "np.ndarray", most: int) -> list[int]:
    """Return the numbers of the first `most` vectors that have no vector near to them among those before."""
    import numpy as np

    near = NEAR * 2 * float(np.einsum("ij,ij->i", vectors, vectors).mean())
    kept: list[int] = []
    for begin in range(0, len(vectors), BLOCK):
        block = vectors[begin : begin + BLOCK]
        free = np.ones(len(block), bool)
        if kept:
            free = _squared(block, vectors[kept]).min(axis=1) > near
        among = _squared(block, block) <= near
        for place in range(len(block)):
            if free[place]:
                if len(kept) == most:
                    return kept
                kept.append(begin + place)
                free &= ~among[place]
    return kept


def _clusters(vectors: "np.ndarray", count: int) -> "tuple[np.ndarray, np.ndarray]":
    """Return the cluster int [n] of each vector, and the centres, by k-means from k-means++ (Arthur and
    Vassilvitskii 2007)."""
    import numpy as np

    rng = np.random.default_rng(SEED)
    chosen = [int(rng.integers(len(vectors)))]
    distance = _squared(vectors, vectors[chosen])[:, 0]
    while len(chosen) < count and distance.sum() > 0:
        chosen.append(int(rng.choice(len(vectors), p=distance / distance.sum())))
        distance = np.minimum(distance, _squared(vectors, vectors[chosen[-1:]])[:, 0])
    centres = vectors[chosen]
    labels = _squared(vectors, centres).argmin(axis=1)
    for _ in range(ROUNDS):
        used = np.unique(labels)
        centres = np.stack([vectors[labels == label].mean(axis=0) for label in used])
        labels = _squared(vectors, centres).argmin(axis=1)
    return labels, centres


def _squared(one: "np.ndarray", other: "np.ndarray") -> "np.ndarray":
    """Return squared distances float64 [n, m]."""
    import numpy as np

    lengths = [np.einsum("ij,ij->i", each, each, dtype=np.float64) for each in (one, other)]
    found: np.ndarray = lengths[0][:, None] + lengths[1] - 2.0 * (one @ other.T)
    np.maximum(found, 0.0, out=found)
    return found

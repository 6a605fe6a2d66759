"""Picks a few of many items that are doubtful and unlike one another, for people to label.

The most doubtful items are often alike: several pictures of the one thing that the readout does not know.
k-means divides the doubtful ones into as many clusters as items are wanted, and the item nearest to each centre
is picked.
"""

import numpy as np

DIMENSIONS = 4096  # of vectors that are compared; longer ones are sketched
ROUNDS = 10  # of k-means
NEAR = 0.02  # × mean squared distance between items, below which two show the same
SEED = 20


def sketch(vectors: np.ndarray, dimensions: int = DIMENSIONS) -> np.ndarray:
    """Return float32 [n, at most `dimensions`] of float32 [n, width]: shorter vectors with nearly the same
    distances. Columns are dealt out at random, and added up with random signs (count sketch)."""
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


def pick_varied(vectors: np.ndarray, count: int) -> list[int]:
    """Return the numbers of at most `count` items of float32 [n, width], the most doubtful first, of which no
    two are nearly the same. The same vectors give the same items.

    vectors  of doubtful items, the most doubtful first
    """
    if not len(vectors) or count < 1:
        return []
    centred = vectors - vectors.mean(axis=0)
    near = NEAR * 2 * float(np.einsum("ij,ij->i", centred, centred).mean())
    labels, centres = _clusters(centred, min(count, len(centred)))
    apart = _squared(centred, centres)[np.arange(len(centred)), labels]
    first = {int(label): place for place, label in reversed([*enumerate(labels)])}  # its most doubtful item
    picked: list[int] = []
    distance = np.full(len(centred), np.inf)  # to the nearest item that was picked

    def pick(items: np.ndarray) -> bool:
        free = items[distance[items] > near]
        if len(free):
            picked.append(int(free[0]))
            np.minimum(distance, _squared(centred, centred[free[:1]])[:, 0], out=distance)
        return len(free) > 0

    for label in sorted(first, key=first.__getitem__):
        members = np.flatnonzero(labels == label)
        pick(members[np.argsort(apart[members], kind="stable")])
    while len(picked) < count and pick(np.arange(len(centred))):
        pass
    return sorted(picked)


def _clusters(vectors: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the cluster int [n] of each vector, and the centres, by k-means from k-means++ (Arthur and
    Vassilvitskii 2007)."""
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


def _squared(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Return squared distances float64 [n, m]."""
    lengths = [np.einsum("ij,ij->i", each, each, dtype=np.float64) for each in (one, other)]
    found: np.ndarray = lengths[0][:, None] + lengths[1] - 2.0 * (one @ other.T)
    return np.maximum(found, 0.0)

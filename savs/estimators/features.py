"""Standardised and weighted head vectors: the features of the linear readouts.

Each head's vector is brought to length 1, standardised number by number, and weighted by how well its head
alone tells the classes apart.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from savs.estimators.ridge import HEAD_PENALTIES, loo_explained

if TYPE_CHECKING:
    import numpy as np

# Of a head's root mean square number, added to its spread: some heads are constant up to rounding.
FLOOR = 0.01
LEAST_WEIGHT = 0.05  # of the best head's, added to each head's weight
ROWS_AT_ONCE = 256  # rows that are converted at a time, to bound memory


@dataclass(frozen=True)
class Scaling:
    """An affine map of head vectors whose heads have length 1.

    spans  (first, last + 1) column of each head
    mean   float64 [width]
    scale  float64 [width]: 1 / spread, times the root of the head's weight
    """

    spans: tuple[tuple[int, int], ...]
    mean: "np.ndarray"
    scale: "np.ndarray"

    def apply(self, values: "np.ndarray") -> "np.ndarray":
        """Return features float32 [n, width] of raw head vectors [n, width]."""
        import numpy as np

        mean, scale = self.mean.astype(np.float32), self.scale.astype(np.float32)
        out = np.empty(values.shape, np.float32)
        for rows, unit in unit_rows(values, self.spans):
            np.subtract(unit, mean, out=out[rows])
            out[rows] *= scale
        return out


def unit_rows(values: "np.ndarray", spans: Sequence[tuple[int, int]]) -> "Iterator[tuple[slice, np.ndarray]]":
    """Yield blocks of rows as float32 with each head's vector at length 1; a vector of zeros stays so."""
    import numpy as np

    starts = np.array([start for start, _ in spans])
    widths = np.array([stop - start for start, stop in spans])
    even = len(set(widths.tolist())) == 1
    for first in range(0, len(values), ROWS_AT_ONCE):
        rows = slice(first, first + ROWS_AT_ONCE)
        block = values[rows].astype(np.float32)
        if even:  # many times faster than adding up pieces of a row
            heads = block.reshape(len(block), len(widths), -1)
            lengths = np.sqrt(np.einsum("nhd,nhd->nh", heads, heads, dtype=np.float64))
            heads /= np.where(lengths > 0, lengths, 1.0).astype(np.float32)[:, :, None]
        else:
            lengths = np.sqrt(np.add.reduceat(block.astype(np.float64) ** 2, starts, axis=1))
            block /= np.repeat(np.where(lengths > 0, lengths, 1.0), widths, axis=1).astype(np.float32)
        yield rows, block


def fit_scaling(
    labelled: "np.ndarray",
    targets: "np.ndarray",
    spans: Sequence[tuple[int, int]],
    unlabelled: "np.ndarray | None" = None,
    apart: bool = False,
) -> "tuple[Scaling, Scaling, np.ndarray]":
    """Return the scaling of labelled vectors [n, width], that of unlabelled ones, which is the same unless
    they are standardised `apart`, and each head's weight float64 [heads].

    targets     one-hot float64 [n, classes]
    unlabelled  [m, width]
    apart       each side is standardised by its own statistics, else both by those of all rows

    With x̂ of length 1, m and v its mean and variance, and ρ the head's root mean square number:
    z = (x̂ − m) / sqrt(v + (0.01 ρ)²). A head's weight is max(R², 0) + 0.05 · the largest R², where R² is the
    share of the targets that a ridge on this head alone explains, leaving one out; all are 1 if no head
    explains anything. The features of the labelled rows have a mean squared length of 1 about their mean.
    """
    import numpy as np

    others = [] if unlabelled is None else [unlabelled]
    ours = standardise([labelled, *([] if apart else others)], spans)
    theirs = standardise(others, spans) if apart and others else ours
    plain = ours.apply(labelled)
    explained = np.array([loo_explained(plain[:, a:b], targets, HEAD_PENALTIES) for a, b in spans])
    weights = np.ones(len(spans))
    if explained.max() > 0:
        weights = np.maximum(explained, 0) + LEAST_WEIGHT * explained.max()
    weights = weights / weights.mean()
    factors = np.repeat(np.sqrt(weights), [b - a for a, b in spans])
    plain *= factors.astype(np.float32)
    plain -= plain.mean(0)
    length = float(np.einsum("nd,nd->", plain, plain, dtype=np.float64)) / len(plain)
    factors /= np.sqrt(length) if length > 0 else 1.0
    ours, theirs = (replace(one, scale=one.scale * factors) for one in (ours, theirs))
    return ours, theirs, weights


def standardise(groups: "Sequence[np.ndarray]", spans: Sequence[tuple[int, int]]) -> Scaling:
    """Return the scaling by the statistics of all rows of `groups` [n, width], with every head of weight
    1."""
    import numpy as np

    count, width = sum(map(len, groups)), groups[0].shape[1]
    total, squares = np.zeros(width), np.zeros(width)
    for group in groups:
        for _, unit in unit_rows(group, spans):
            total += unit.sum(0, dtype=np.float64)
            squares += np.einsum("nd,nd->d", unit, unit, dtype=np.float64)
    mean = total / count
    spread = np.maximum(squares / count - mean * mean, 0.0)
    for start, stop in spans:
        spread[start:stop] += FLOOR**2 * squares[start:stop].mean() / count
    spread[spread == 0] = 1.0  # of a head of zeros
    return Scaling(tuple(spans), mean, 1 / np.sqrt(spread))

"""Chooses the heads that separate the classes best, from a few labelled examples (arXiv 2412.00142).

Mode `reference` is the published procedure, ties included: centroids are class means, a head's score is
the number of the same examples that are nearest to their own class, and the best k heads keep their
centroids. No examples are held out, so scores are optimistic; they only rank heads.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import isnan
from pathlib import Path
from typing import TYPE_CHECKING, Any

from savs.data.samples import Sample
from savs.engine.vectors import HeadVectors
from savs.errors import FitError, UnfittableType
from savs.model.heads import HeadLayout
from savs.readout.records import head_layout, layer_entries
from savs.readout.stored import (
    Description,
    description_in,
    read_file,
    tensors_from_bytes,
    tensors_to_bytes,
    write_file,
)

if TYPE_CHECKING:
    import numpy as np
    import torch

DEFAULT_HEADS = 20  # as published
COMPARISONS_AT_ONCE = 2**25  # values in memory while cosines are computed: 128 MiB of float32


@dataclass(frozen=True)
class Readout:
    """Fitted heads: everything that is needed to label head vectors.

    mode       how they were fitted; "reference" is the published procedure
    classes    class names in order of first appearance; ties go to the first
    heads      int32 [k, 2]: (layer, head), best first
    centroids  k arrays float32 [classes, head_dim], best head first
    scores     int32 [all heads], layer-major: examples nearest to their own class
    layout     of the head vectors used for fitting
    """

    mode: str
    classes: tuple[str, ...]
    heads: "np.ndarray"
    centroids: "tuple[np.ndarray, ...]"
    scores: "np.ndarray"
    layout: HeadLayout

    def __repr__(self) -> str:
        return (
            f"Readout({self.mode!r}, classes: {len(self.classes)}, heads: {len(self.heads)} of "
            f"{self.layout.counts})"
        )

    def save(self, path: str | Path) -> None:
        """Write the readout into one safetensors file at `path`, a local path or s3:// address; replace
        the file if there is one. An artifact (`make_artifact`) also records the model and the examples.

        Raises StorageError.
        """
        said = Description(
            mode=self.mode,
            classes=self.classes,
            scores=tuple(self.scores.tolist()),
            layout=layer_entries(self.layout),
        )
        write_file(path, tensors_to_bytes(self.heads, self.centroids, said))

    @staticmethod
    def load(path: str | Path) -> "Readout":
        """Return the readout that `save` wrote to `path`, with the same values.

        Raises ArtifactNotFound, ArtifactError if the file is damaged or something else, and StorageError
        if it cannot be read.
        """
        data = read_file(path)
        return readout_of(data, description_in(data, str(path)), str(path))


def fit_vote(
    vectors: HeadVectors,
    labels: Sequence[str],
    heads: int = DEFAULT_HEADS,
    classes: Sequence[str] | None = None,
) -> Readout:
    """Fit class centroids and choose the `heads` best heads.

    vectors  n rows
    labels   n class names, as text
    classes  order of the classes; by default as they first appear in `labels`

    Raises FitError: vectors that are not HeadVectors, a label that is not text, fewer than two classes, a
    class without examples, more heads than the model has, NaN or infinite vectors, or numbers of vectors
    and labels that differ.
    """
    import numpy as np
    import torch

    labels = texts(labels)
    check_vectors(vectors)
    order = check_fit(vectors, labels, heads, classes)
    numbers = torch.tensor([order.index(label) for label in labels])
    values = torch.from_numpy(np.ascontiguousarray(vectors.values, dtype=np.float32))
    places = vectors.layout.slices()
    means = torch.stack([values[numbers == c].mean(0) for c in range(len(order))])
    centroids = {head: means[:, columns].contiguous() for head, columns in places.items()}
    scores = np.zeros(len(places), dtype=np.int64)
    for i, (head, columns) in enumerate(places.items()):
        scores[i] = int((nearest(values[:, columns], centroids[head]) == numbers).sum())
    # NumPy's default sort is not stable; its order of equal counts is the published one.
    top = np.argsort(scores)[-heads:][::-1]
    chosen = [list(places)[i] for i in top]
    return Readout(
        mode="reference",
        classes=tuple(order),
        heads=np.array(chosen, dtype=np.int32).reshape(-1, 2),
        centroids=tuple(centroids[head].numpy() for head in chosen),
        scores=scores.astype(np.int32),
        layout=vectors.layout,
    )


def readout_of(data: bytes, description: Description, name: str) -> Readout:
    """Return the readout whose tensors are in a file called `name`. Raises ArtifactError."""
    import numpy as np

    heads, centroids = tensors_from_bytes(data, description, name)
    return Readout(
        mode=description.mode,
        classes=description.classes,
        heads=heads,
        centroids=centroids,
        scores=np.array(description.scores, dtype=np.int32),
        layout=head_layout(description.layout),
    )


def nearest(vectors: "torch.Tensor", centroids: "torch.Tensor") -> "torch.Tensor":
    """Return int64 [n]: the centroid with the largest cosine, the first of equals.

    vectors float32 [n, d], centroids float32 [classes, d], or [n, classes, d] if each vector has its
    own. The cosine is PyTorch's own, as in the published code, because float32 rounding decides between
    centroids that are nearly equal.
    """
    import torch

    step = max(1, COMPARISONS_AT_ONCE // max(1, centroids.shape[-2] * centroids.shape[-1]))
    own = centroids if centroids.ndim == 3 else centroids.expand(len(vectors), *centroids.shape)
    blocks = [
        torch.nn.functional.cosine_similarity(some[:, None, :], theirs, dim=-1).argmax(-1)
        for some, theirs in zip(torch.split(vectors, step), torch.split(own, step), strict=True)
    ]
    return torch.cat(blocks)


def check_vectors(vectors: object) -> None:
    """Raises UnfittableType if `vectors` are not HeadVectors."""
    if not isinstance(vectors, HeadVectors):
        pass_what = "its .vectors" if hasattr(vectors, "vectors") else "the .vectors of an Extraction"
        raise UnfittableType(f"vectors are of type {type(vectors).__name__}; pass {pass_what}")


def label_list(labels: object) -> list[Any]:
    """Return labels as a list: also those of a NumPy array, a Series, or a generator. Raises UnfittableType
    if they are one text, a table, or no labels at all."""
    if isinstance(labels, HeadVectors):
        raise UnfittableType("labels are HeadVectors; pass fit(vectors, labels)")
    if hasattr(labels, "columns"):
        raise UnfittableType(f"labels are a {type(labels).__name__}; pass one of its columns")
    if isinstance(labels, str | bytes | Mapping) or not isinstance(labels, Iterable):
        raise UnfittableType(
            f"labels are of type {type(labels).__name__}; pass a list with a class name per vector"
        )
    return list(labels)


def texts(labels: Sequence[object]) -> list[str]:
    """Return the labels. Raises FitError if one is not text."""
    found = list(labels)
    for index, label in enumerate(found):
        if isinstance(label, str):
            continue
        if isinstance(label, Sample):
            raise UnfittableType(f"label {index} is a Sample, not text; pass [s.label for s in samples]")
        if label is None or (isinstance(label, float) and isnan(label)):
            raise FitError(f"label {index} is {label}: its sample has no label; fit labelled samples only")
        raise UnfittableType(
            f"label {index} is {label!r}, of type {type(label).__name__}, not text; pass class names"
        )
    return list(map(str, found))  # not NumPy's text


def check_fit(
    vectors: HeadVectors,
    labels: Sequence[str],
    heads: int,
    classes: Sequence[str] | None,
) -> list[str]:
    """Return the order of the classes. Raises FitError if the arguments cannot be fitted."""
    check_heads(vectors, labels, heads)
    order = _checked_order(labels, classes)
    check_finite(vectors)
    return order


def check_heads(vectors: HeadVectors, labels: Sequence[object], heads: int) -> None:
    """Raises FitError if the vectors have only some of the model's heads, there are not as many labels as
    vectors, or not so many heads."""
    if any(layer.chosen is not None for layer in vectors.layout.layers):
        raise FitError(
            f"the vectors have only some of the model's heads ({vectors.layout.counts}); a readout is fitted "
            "on all of them"
        )
    if len(vectors) != len(labels):
        raise FitError(
            f"{len(vectors)} vectors and {len(labels)} labels; each vector needs one label (the samples "
            "of an Extraction leave out items with an error)"
        )
    available = len(vectors.layout.heads())
    if isinstance(heads, bool) or not isinstance(heads, int):
        raise UnfittableType(f"heads is {heads!r}; pass a whole number")
    if not 1 <= heads <= available:
        raise FitError(f"{heads} heads were asked for; the model has {available}, and at least 1 is needed")


def check_finite(vectors: HeadVectors) -> None:
    """Raises FitError if vectors have NaN or infinity."""
    import numpy as np

    broken = np.flatnonzero(~np.isfinite(vectors.values).all(axis=1))
    if len(broken):
        raise FitError(f"vectors with NaN or infinity in {len(broken)} rows; the first is row {broken[0]}")


def _checked_order(labels: Sequence[str], classes: Sequence[str] | None) -> list[str]:
    order = texts(classes) if classes is not None else list(dict.fromkeys(labels))
    if len(set(order)) != len(order):
        raise FitError("a class is listed twice")
    unknown = sorted(set(labels) - set(order))
    if unknown:
        raise FitError(f"labels that are not classes: {', '.join(map(repr, unknown[:5]))}")
    empty = [name for name in order if name not in set(labels)]
    if empty:
        raise FitError(f"no example of class {', '.join(map(repr, empty[:5]))}")
    if len(order) < 2:
        raise FitError(f"at least two classes are needed; found {order or 'none'}")
    return order

"""The map of heads: how well each head of the model tells the classes apart, and what it confuses."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from savs.artifact.artifact import Artifact
from savs.estimators.vote_loo import head_confusions

if TYPE_CHECKING:
    import numpy as np

MAX_PAIRS = 64  # of a head, of a label and a class that it names
MAX_NUMBERS = 150_000  # of all heads together; with more classes, fewer pairs are kept


@dataclass(frozen=True)
class Head:
    """A head of the model.

    score   examples that it labels right alone; None with several labels per item
    rank    its place among the chosen heads, from 1; None if it was not chosen
    pairs   (label, class named, examples), with numbers of classes: the most frequent confusions, then right
            answers; empty if the artifact has no vectors
    """

    layer: int
    head: int
    score: int | None
    rank: int | None
    pairs: tuple[tuple[int, int, int], ...] = ()


@dataclass(frozen=True)
class HeadMap:
    """All heads of an artifact's model, layer by layer, and how many examples it was fitted on."""

    heads: tuple[Head, ...]
    classes: tuple[str, ...]
    examples: int


def map_heads(artifact: Artifact) -> HeadMap:
    """Return the map of the heads of an artifact, with confusions if its examples are loaded."""
    manifest = artifact.manifest
    places = manifest.origin.head_layout().heads()
    ranks = {tuple(place): n for n, place in enumerate(artifact.readout.heads.tolist(), 1)}
    scores = manifest.scores if len(manifest.scores) == len(places) else [None] * len(places)
    pairs = _pairs(artifact) if manifest.scores else [()] * len(places)
    heads = [
        Head(int(layer), int(head), score, ranks.get((layer, head)), tuple(found))
        for (layer, head), score, found in zip(places, scores, pairs, strict=True)
    ]
    return HeadMap(tuple(heads), manifest.classes, len(manifest.training))


def _pairs(artifact: Artifact) -> list[tuple[tuple[int, int, int], ...]]:
    import numpy as np

    manifest, examples = artifact.manifest, artifact.examples
    places = manifest.origin.head_layout().slices()
    if examples is None:
        return [()] * len(places)
    order = {name: number for number, name in enumerate(manifest.classes)}
    numbers = np.array([order[str(row.label)] for row in manifest.training])
    spans = [(place.start, place.stop) for place in places.values()]
    found = head_confusions(examples.vectors.values, numbers, len(order), spans)
    most = max(1, min(MAX_PAIRS, MAX_NUMBERS // (3 * len(places))))
    return [_frequent(one, most) for one in found]


def _frequent(confusion: "np.ndarray", most: int) -> tuple[tuple[int, int, int], ...]:
    """Return at most `most` cells of a confusion matrix that are not 0: if not all fit, confusions come
    before right answers, and frequent ones before rare ones."""
    labels, named = confusion.nonzero()
    cells = list(zip(labels.tolist(), named.tolist(), confusion[labels, named].tolist(), strict=True))
    cells.sort(key=lambda cell: (cell[0] == cell[1], -cell[2], cell[:2]))
    return tuple(cells[:most])

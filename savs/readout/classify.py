"""Labels head vectors with fitted heads: each head votes for its nearest centroid (arXiv 2412.00142)."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from savs.engine.vectors import HeadVectors
from savs.errors import ArtifactMismatch, FitError
from savs.readout.fit import Readout, check_vectors
from savs.readout.votes import DeviceReadout

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class Answer:
    """The result of the vote on one item.

    prediction  the class with the most votes
    votes       votes for each class, all classes, highest count first
    confidence  the winner's share of the votes, 0 to 1
    """

    prediction: str
    votes: dict[str, int]
    confidence: float


def classify(readout: Readout, vectors: HeadVectors) -> list[Answer]:
    """Return one answer per row of `vectors`.

    Of classes with equal votes, the one named by the best-ranked head wins, as published. Raises
    ArtifactMismatch if the vectors come from a model with other heads, and FitError if they are something
    else than HeadVectors or contain NaN or infinity.
    """
    import numpy as np
    import torch

    check_vectors(vectors)
    if not isinstance(readout, Readout):
        raise FitError(f"readout is of type {type(readout).__name__}; pass what fit returned")
    if vectors.layout != readout.layout:
        raise ArtifactMismatch(
            f"the vectors have {len(vectors.layout.heads())} heads in {vectors.layout.width} values; "
            f"the readout was fitted on {len(readout.layout.heads())} heads in {readout.layout.width} values"
        )
    if not np.isfinite(vectors.values).all():
        raise FitError("vectors with NaN or infinity cannot be classified")
    ballot = DeviceReadout.of(readout, vectors.layout)
    return answers(readout, ballot.named(torch.from_numpy(np.ascontiguousarray(vectors.values))))


def answers(readout: Readout, names: "torch.Tensor") -> list[Answer]:
    """Return one answer per item from `names` int64 [n, k], the result of `DeviceReadout.named`."""
    return [_count(readout, ballots) for ballots in names.tolist()]


def _count(readout: Readout, ballots: list[int]) -> Answer:
    votes: dict[str, int] = {}
    for number in ballots:  # best head first, so that ties keep the heads' order
        name = readout.classes[number]
        votes[name] = votes.get(name, 0) + 1
    votes |= {name: 0 for name in readout.classes if name not in votes}
    ranked = dict(sorted(votes.items(), key=lambda item: -item[1]))
    winner = next(iter(ranked))
    return Answer(winner, ranked, ranked[winner] / len(ballots))

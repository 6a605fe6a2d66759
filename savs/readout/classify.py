"""Labels head vectors with fitted heads: each head votes for its nearest centroid (arXiv 2412.00142)."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from savs.engine.vectors import HeadVectors
from savs.errors import ArtifactMismatch, FitError
from savs.readout.fit import Readout
from savs.readout.votes import DeviceReadout

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class Answer:
    """What the heads say of one item.

    prediction  the class with most votes
    votes       how many heads voted for each class, every class, most first
    confidence  the winner's share of the votes, 0 to 1
    """

    prediction: str
    votes: dict[str, int]
    confidence: float


def classify(readout: Readout, vectors: HeadVectors) -> list[Answer]:
    """One answer per row of `vectors`.

    Of classes with equal votes the one wins that the best-ranked head among them named, as
    published. Raises ArtifactMismatch where the vectors come from a model with other heads, and
    FitError where they hold NaN or infinity.
    """
    import numpy as np
    import torch

    if vectors.layout != readout.layout:
        raise ArtifactMismatch(
            f"the vectors have {len(vectors.layout.heads())} heads in {vectors.layout.width} numbers; "
            f"the readout was fitted on {len(readout.layout.heads())} in {readout.layout.width}"
        )
    if not np.isfinite(vectors.values).all():
        raise FitError("vectors with NaN or infinity cannot be classified")
    ballot = DeviceReadout.of(readout, vectors.layout)
    return answers(readout, ballot.named(torch.from_numpy(np.ascontiguousarray(vectors.values))))


def answers(readout: Readout, names: "torch.Tensor") -> list[Answer]:
    """What the heads say of each item: `names` int64 [n, k] as `DeviceReadout.named` gives them."""
    return [_count(readout, ballots) for ballots in names.tolist()]


def _count(readout: Readout, ballots: list[int]) -> Answer:
    votes: dict[str, int] = {}
    for number in ballots:  # best head first, so that equal counts stay in the heads' order
        name = readout.classes[number]
        votes[name] = votes.get(name, 0) + 1
    votes |= {name: 0 for name in readout.classes if name not in votes}
    ranked = dict(sorted(votes.items(), key=lambda item: -item[1]))
    winner = next(iter(ranked))
    return Answer(winner, ranked, ranked[winner] / len(ballots))

"""A fitted readout on the model's device: computes a batch's votes over all heads and classes at once.

One einsum computes the cosines of every item with every class in every head. If two of them are so close
that rounding could decide, a CPU computes them again as in the published code (`savs.readout.fit.nearest`),
where the first of equal classes wins.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from savs.model.heads import HeadLayout
from savs.readout.answer import Answer
from savs.readout.fit import Readout, nearest

if TYPE_CHECKING:
    import torch

CLOSE = 1e-5  # difference of cosines below which float32 rounding may decide; it is about 1e-7


@dataclass(frozen=True)
class _Group:
    """The chosen heads of one width: ranks, columns of their values in the vectors, centroids
    [heads, classes, width], and the same centroids normalised to length one."""

    ranks: "torch.Tensor"
    columns: "torch.Tensor"
    centroids: "torch.Tensor"
    directions: "torch.Tensor"


@dataclass(frozen=True)
class DeviceReadout:
    """`readout` on a device, for vectors of `layout`."""

    readout: Readout
    layout: HeadLayout
    groups: tuple[_Group, ...]

    @classmethod
    def of(
        cls, readout: Readout, layout: HeadLayout, device: "torch.device | str" = "cpu"
    ) -> "DeviceReadout":
        """Return the readout on `device`. Raises KeyError if `layout` lacks a head of the readout."""
        import torch

        places = layout.slices()
        widths = sorted({c.shape[1] for c in readout.centroids})
        groups = []
        for width in widths:
            ranks = [i for i, c in enumerate(readout.centroids) if c.shape[1] == width]
            spans = [places[int(layer), int(head)] for layer, head in readout.heads[ranks]]
            columns = torch.tensor([[*range(span.start, span.stop)] for span in spans])
            centroids = torch.stack([torch.from_numpy(readout.centroids[i]) for i in ranks])
            parts = (
                torch.tensor(ranks),
                columns,
                centroids,
                torch.nn.functional.normalize(centroids, dim=-1),
            )
            groups.append(_Group(*(part.to(device) for part in parts)))
        return cls(readout, layout, tuple(groups))

    @property
    def width(self) -> int:
        """Values per item that `read` returns."""
        return len(self.readout.heads)

    def read(self, vectors: "torch.Tensor") -> "torch.Tensor":
        """Return what `named` returns, as float32, which holds class numbers below 2^24 exactly."""
        return self.named(vectors).float()

    def answers(self, values: "torch.Tensor") -> list[Answer]:
        """Return one answer per item from what `read` returned."""
        return [_count(self.readout, ballots) for ballots in values.long().tolist()]

    def named(self, vectors: "torch.Tensor") -> "torch.Tensor":
        """Return int64 [n, k]: the class number that each chosen head names, best head first.

        vectors  float32 [n, layout.width], on the readout's device
        """
        import torch

        names = vectors.new_zeros((len(vectors), len(self.readout.heads)), dtype=torch.int64)
        for group in self.groups:
            own = vectors[:, group.columns]  # [n, heads, width]
            cosines = torch.einsum(
                "nhd,hcd->nhc", torch.nn.functional.normalize(own, dim=-1), group.directions
            )
            most = cosines.amax(-1, keepdim=True)
            # The first of equal classes; argmax does not guarantee it on a GPU.
            chosen = (cosines == most).int().cummax(-1).values.sum(-1).sub(cosines.shape[-1]).abs()
            if not vectors.is_cuda:
                items, heads = ((cosines >= most - CLOSE).sum(-1) > 1).nonzero(as_tuple=True)
                chosen[items, heads] = nearest(own[items, heads], group.centroids[heads])
            names[:, group.ranks] = chosen
        return names


def _count(readout: Readout, ballots: list[int]) -> Answer:
    votes: dict[str, int] = {}
    for number in ballots:  # best head first, so that ties keep the heads' order
        name = readout.classes[number]
        votes[name] = votes.get(name, 0) + 1
    votes |= {name: 0 for name in readout.classes if name not in votes}
    ranked = dict(sorted(votes.items(), key=lambda item: -item[1]))
    winner = next(iter(ranked))
    return Answer(winner, ranked, ranked[winner] / len(ballots))

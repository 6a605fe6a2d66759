"""The head vectors of rows, as trials compare them."""

from typing import TYPE_CHECKING

from savs.engine.batches import build
from savs.engine.forward import read_vectors
from savs.engine.packing import PackedRow

if TYPE_CHECKING:
    from torch import Tensor

    from savs.model.model import Model


def vectors_of(model: "Model", rows: "list[PackedRow]") -> "dict[int, Tensor]":
    """Return head vectors by request number. Raises ItemError, and ValueError if a row was split."""
    built, errors = build(model, rows)
    if errors:
        raise next(iter(errors.values()))
    if sum(len(batch.rows) for batch in built) != len(rows):
        raise ValueError("its questions need separate rows")
    found: dict[int, Tensor] = {}
    for batch in built:
        found |= dict(zip(batch.numbers, read_vectors(model, batch).cpu(), strict=True))
    return found

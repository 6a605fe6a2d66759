"""Head vectors of several items, the head that each of their values belongs to, and their files."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from savs.errors import ArtifactError, ArtifactNotFound, FitError, NotFound
from savs.model.heads import HeadLayout, LayerHeads
from savs.storage import open_parent

if TYPE_CHECKING:
    import numpy as np

STORED = "float16"  # on disk, relative to the largest number of each head, so that no head is rounded away


@dataclass(frozen=True)
class HeadVectors:
    """Head vectors of n items: `values` float32 [n, layout.width], divided by `layout`.

    They can be passed where an array of features is expected, as by the estimators of scikit-learn.
    """

    layout: HeadLayout
    values: "np.ndarray"

    def __len__(self) -> int:
        return len(self.values)

    @property
    def shape(self) -> tuple[int, int]:
        return len(self.values), self.layout.width

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> "np.ndarray":
        import numpy as np

        return np.array(self.values, dtype, copy=copy)

    def __repr__(self) -> str:
        return f"HeadVectors(items: {len(self)}, {self.layout.counts})"

    def __getitem__(self, rows: "slice | Sequence[int] | np.ndarray") -> "HeadVectors":
        """Return the vectors of some items: of a slice, of their numbers, or where a mask is True. Raises
        TypeError if what is left are not whole rows."""
        values = self.values[rows]
        if values.ndim != 2 or values.shape[1] != self.values.shape[1]:
            raise TypeError("only rows can be taken; one item is vectors[n:n + 1]")
        return HeadVectors(self.layout, values)

    def part(self, layout: HeadLayout) -> "HeadVectors":
        """Return the vectors of only the heads of `layout`, float32 [n, layout.width]. Raises
        ArtifactMismatch if it is of another model, or has a head that these vectors lack."""
        if layout == self.layout:
            return self
        return HeadVectors(layout, self.values[:, self.layout.columns(layout)])

    @staticmethod
    def concat(parts: "Sequence[HeadVectors]") -> "HeadVectors":
        """Return the vectors of all parts, in order. Raises FitError if there is no part, or if the parts
        come from models with other heads."""
        import numpy as np

        layouts = list(dict.fromkeys(part.layout for part in parts))
        if len(layouts) != 1:
            found = " and ".join(f"{layout.counts} in {layout.width} values" for layout in layouts)
            raise FitError(f"only vectors of one model can be joined; found {found or 'no vectors'}")
        return HeadVectors(layouts[0], np.concatenate([part.values for part in parts]))

    def save(self, path: str | Path) -> None:
        """Write the vectors into a safetensors file at `path`, a local path or s3:// address, in float16;
        replace the file if there is one. What is lost is less than 0.1 % of the largest number of each head.
        Raises StorageError."""
        store, key = open_parent(path)
        store.write(key, vectors_to_bytes(self))

    @staticmethod
    def load(path: str | Path) -> "HeadVectors":
        """Return the vectors that `save` wrote to `path`. Raises ArtifactNotFound, ArtifactError if the file
        is damaged or something else, and StorageError if it cannot be read."""
        store, key = open_parent(path)
        try:
            data = store.read(key)
        except NotFound as error:
            raise ArtifactNotFound(f"no head vectors at {path}") from error
        return vectors_from_bytes(data, str(path))


def vectors_to_bytes(vectors: HeadVectors, metadata: Mapping[str, str] | None = None) -> bytes:
    """Return a safetensors file: `vectors` float16 [n, width] and `scales` float32 [heads], with which the
    values of each head are multiplied. The layout is in its metadata, beside `metadata`. NaN and infinity,
    which no extraction returns, stay what they are and change no other number."""
    import numpy as np
    from safetensors.numpy import save

    scales = np.ones(len(vectors.layout.heads()), np.float32)
    small = np.zeros(vectors.values.shape, np.float16)
    for number, columns in enumerate(vectors.layout.slices().values()):
        block = vectors.values[:, columns]
        most = float(np.abs(block).max(initial=0.0, where=np.isfinite(block)))
        # A power of two, so that rounding does not depend on which other rows are stored with a row.
        scales[number] = np.exp2(np.floor(np.log2(most))) if most > 0 else 1.0
        small[:, columns] = block / scales[number]
    layout = [_layer_to_json(layer) for layer in vectors.layout.layers]
    said = {**(metadata or {}), "layout": json.dumps(layout)}
    return in_order(save({"vectors": small, "scales": scales}, said))


def vectors_from_bytes(data: bytes, name: str) -> HeadVectors:
    """Return the vectors in a file called `name`, as `vectors_to_bytes` made it. Raises ArtifactError, which
    quotes nothing of the file."""
    import numpy as np
    from safetensors import SafetensorError
    from safetensors.numpy import load

    try:
        found = metadata_of(data)["layout"]
        layout = HeadLayout(tuple(_layer_from_json(*layer) for layer in json.loads(found)))
        tensors = load(data)
        small, scales = tensors["vectors"], tensors["scales"]
    except (SafetensorError, KeyError, ValueError, TypeError, RecursionError, OverflowError) as error:
        raise ArtifactError(f"{name} is not a file of head vectors, or it is damaged") from error
    heads = sum(layer.count for layer in layout.layers)
    numbers = [layer.layer for layer in layout.layers]
    sound = all(min(layer.heads, layer.head_dim) > 0 for layer in layout.layers) and heads > 0
    sound &= len(set(numbers)) == len(numbers) and min(numbers, default=0) >= 0
    sound &= small.dtype == np.float16 and small.ndim == 2 and small.shape[1:] == (layout.width,)
    sound &= scales.dtype == np.float32 and scales.shape == (heads,)
    if not sound or not np.isfinite(scales).all():
        raise ArtifactError(f"{name} does not match the heads that it names")
    values = small.astype(np.float32)
    for columns, scale in zip(layout.slices().values(), scales, strict=True):
        values[:, columns] *= scale
    return HeadVectors(layout, values)


def _layer_to_json(layer: LayerHeads) -> list[int | list[int]]:
    """Return number, heads and width of a layer, and the numbers of the heads if not all are there."""
    whole = [layer.layer, layer.heads, layer.head_dim]
    return [*whole] if layer.chosen is None else [*whole, list(layer.chosen)]


def _layer_from_json(
    layer: int, heads: int, head_dim: int, chosen: Sequence[int] | None = None
) -> LayerHeads:
    """Return what `_layer_to_json` was given. Raises ValueError, TypeError or OverflowError."""
    numbers = None if chosen is None else tuple(map(int, chosen))
    return LayerHeads(int(layer), int(heads), int(head_dim), numbers)


def in_order(data: bytes) -> bytes:
    """Return a safetensors file with the fields of its header in alphabetical order. The library writes
    several fields of metadata in random order; the same content is to be the same bytes."""
    end = 8 + int.from_bytes(data[:8], "little")  # of the header, whose length comes first
    header = json.dumps(json.loads(data[8:end]), sort_keys=True, separators=(",", ":")).encode()
    header += b" " * (-len(header) % 8)  # tensors are aligned
    return b"".join([len(header).to_bytes(8, "little"), header, memoryview(data)[end:]])


def metadata_of(data: bytes) -> dict[str, str]:
    """Return the metadata of a safetensors file. Raises ValueError, KeyError or TypeError if it has none."""
    end = 8 + int.from_bytes(data[:8], "little")  # of the header, whose length comes first
    found: dict[str, str] = json.loads(data[8:end])["__metadata__"]
    return found

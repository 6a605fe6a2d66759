"""Fitted heads as the bytes of a safetensors file, and back, with a check of everything that is read."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from savs.engine.vectors import metadata_of
from savs.errors import ArtifactError, ArtifactNotFound, NotFound
from savs.readout.records import LayerEntry, ManifestEntry, head_layout
from savs.storage import open_parent

if TYPE_CHECKING:
    import numpy as np

MOST_HEADS = 2**20  # of a model; a damaged count may be too large to iterate over
MOST_LOGIT = 1e30  # float32 ends at 3e38
HEC = "hec"  # the mode whose heads have an intercept each


class Description(ManifestEntry):
    """The parts of a readout that are not in tensors. A file of its own has them as JSON in its metadata."""

    schema_version: Literal[1] = 1
    mode: str
    classes: Annotated[tuple[str, ...], Field(min_length=2)]
    scores: tuple[Annotated[int, Field(ge=0, lt=2**31)], ...]
    layout: tuple[LayerEntry, ...]


class LinearDescription(ManifestEntry):
    """The parts of a linear readout that are not in tensors, as in `Description`."""

    schema_version: Literal[2] = 2
    mode: str
    classes: Annotated[tuple[str, ...], Field(min_length=2)]
    temperature: Annotated[float, Field(gt=0, allow_inf_nan=False)]
    layout: tuple[LayerEntry, ...]


def write_file(path: str | Path, data: bytes) -> None:
    """Write a readout's file at `path`, a local path or s3:// address. Raises StorageError."""
    store, key = open_parent(path)
    store.write(key, data)


def read_file(path: str | Path) -> bytes:
    """Return the readout's file at `path`. Raises ArtifactNotFound, and StorageError if it cannot be read."""
    store, key = open_parent(path)
    try:
        return store.read(key)
    except NotFound as error:
        raise ArtifactNotFound(f"no readout at {path}") from error


def linear_to_bytes(
    heads: "np.ndarray", weights: "np.ndarray", intercept: "np.ndarray", description: LinearDescription
) -> bytes:
    """Return a file of a linear readout; the arrays are those of `savs.readout.linear.LinearReadout`, or of
    `savs.readout.hec.HecReadout` with its intercepts."""
    import numpy as np
    from safetensors.numpy import save

    arrays = {"heads": heads, "weights": weights, "intercept": intercept}
    tensors = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    return save(tensors, {"readout": description.model_dump_json()})


def linear_from_bytes(
    data: bytes, name: str, hec: bool = False
) -> "tuple[LinearDescription, np.ndarray, np.ndarray, np.ndarray]":
    """Return the description, heads, weights and intercept in a file called `name`. The logits of what is
    returned are finite for all finite vectors. Raises ArtifactError, which quotes nothing of the file.

    hec  whether it is to be a readout of mode "hec", or of another one
    """
    import numpy as np
    from safetensors import SafetensorError
    from safetensors.numpy import load

    try:
        description = LinearDescription.model_validate_json(metadata_of(data)["readout"])
        tensors = load(data)
        parts = {part: tensors[part] for part in ("heads", "weights", "intercept")}
    except (SafetensorError, KeyError, ValueError, TypeError, RecursionError, OverflowError) as error:
        raise ArtifactError(f"{name} is not a linear readout, or it is damaged") from error
    if (description.mode == HEC) != hec:
        raise ArtifactError(f"{name} is {'not ' if hec else ''}a readout of mode {HEC!r}")
    classes = len(description.classes)
    shape = (len(parts["heads"]), classes) if hec and parts["heads"].ndim else (classes,)
    check_map(parts, classes, description.layout, name, shape)
    most = np.abs(parts["weights"].astype(np.float64)).sum(0)
    most += np.abs(parts["intercept"].reshape(-1, classes)).sum(0)
    if not (most < MOST_LOGIT * min(description.temperature, 1.0)).all():  # NaN is not less than anything
        raise ArtifactError(f"{name} does not match its description")
    return description, parts["heads"], parts["weights"], parts["intercept"]


def check_map(
    parts: "Mapping[str, np.ndarray]",
    classes: int,
    layout: tuple[LayerEntry, ...],
    name: str,
    shape: tuple[int, ...] | None = None,
) -> None:
    """Raises ArtifactError unless the heads, weights and intercept of a file called `name` have the types and
    shapes of an affine map to so many classes, with heads of `layout`. Their values are not checked.

    shape  of the intercept; by default [classes]
    """
    import numpy as np

    heads, weights, intercept = (parts[part] for part in ("heads", "weights", "intercept"))
    counted = sum(layer.heads for layer in layout) <= MOST_HEADS
    places = head_layout(layout).slices() if counted else {}
    sound = heads.dtype == np.int32 and heads.shape[1:] == (2,) and len(heads) > 0
    known = [places.get((int(layer), int(head))) for layer, head in heads] if sound else [None]
    width = sum(place.stop - place.start for place in known if place is not None)
    sound &= None not in known and len({*map(tuple, heads.tolist())}) == len(heads)
    sound &= weights.dtype == np.float32 and weights.shape == (width, classes)
    sound &= intercept.dtype == np.float32 and intercept.shape == (shape or (classes,))
    if not sound:
        raise ArtifactError(f"{name} does not match its description")


def tensors_to_bytes(
    heads: "np.ndarray", centroids: "tuple[np.ndarray, ...]", description: Description | None = None
) -> bytes:
    """Return a file of `heads` and `centroids`; if heads differ in width, a tensor per width and its ranks.

    heads      int32 [k, 2], best first
    centroids  k arrays float32 [classes, head_dim]
    """
    import numpy as np
    from safetensors.numpy import save

    tensors = {"heads": np.ascontiguousarray(heads)}
    widths = sorted({c.shape[1] for c in centroids})
    for width in widths:
        ranks = [i for i, c in enumerate(centroids) if c.shape[1] == width]
        stacked = np.stack([centroids[i] for i in ranks], axis=1)
        if len(widths) == 1:
            tensors["centroids"] = np.ascontiguousarray(stacked)
        else:
            tensors[f"centroids.{width}"] = np.ascontiguousarray(stacked)
            tensors[f"ranks.{width}"] = np.array(ranks, dtype=np.int32)
    return save(tensors, None if description is None else {"readout": description.model_dump_json()})


def description_in(data: bytes, name: str) -> Description:
    """Return the description in a file called `name`. Raises ArtifactError if there is none."""
    try:
        return Description.model_validate_json(metadata_of(data)["readout"])
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise ArtifactError(
            f"{name} is not a file that Readout.save wrote; artifacts are read by load_artifact, linear "
            "readouts by LinearReadout.load"
        ) from error


def tensors_from_bytes(
    data: bytes, description: Description, name: str
) -> "tuple[np.ndarray, tuple[np.ndarray, ...]]":
    """Return the heads and centroids in a file called `name`, in the form of `tensors_to_bytes`.

    Raises ArtifactError if the file is damaged, or if its tensors do not fit `description`.
    """
    import numpy as np
    from safetensors import SafetensorError
    from safetensors.numpy import load

    try:
        tensors = load(data)
        heads = tensors["heads"]
        found: dict[int, np.ndarray] = {}
        for tensor in [n for n in tensors if n == "centroids" or n.startswith("centroids.")]:
            ranks = tensors.get(tensor.replace("centroids", "ranks"), np.arange(len(heads)))
            columns = np.moveaxis(tensors[tensor], 1, 0)
            found.update({int(r): c for r, c in zip(ranks, columns, strict=True)})
    except (SafetensorError, KeyError, IndexError, ValueError, TypeError, OverflowError) as error:
        raise ArtifactError(f"{name} is not usable: {error}") from error
    layout = head_layout(description.layout)
    counted = sum(layer.heads for layer in layout.layers) == len(description.scores)
    places = layout.slices() if counted else {}  # a damaged count may be too large to iterate over
    sound = (
        heads.shape[1:] == (2,)
        and heads.dtype == np.int32
        and sorted(found) == list(range(len(heads)))
        and len({(layer, head) for layer, head in heads.tolist()}) == len(heads) > 0
        and len(description.scores) == len(places)
    )
    for rank, head in enumerate(heads if sound else []):
        place = places.get((int(head[0]), int(head[1])))
        expected = (len(description.classes), place.stop - place.start) if place else None
        sound &= found[rank].shape == expected and found[rank].dtype == np.float32
        sound &= bool(np.isfinite(found[rank]).all())
    if not sound:
        raise ArtifactError(f"{name} does not match its manifest")
    return heads, tuple(np.ascontiguousarray(found[i]) for i in range(len(heads)))

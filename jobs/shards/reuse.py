"""Head vectors of examples that an artifact has stored, found again by the content of their media."""

from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

from savs.data.media import Digest, hash_media
from savs.data.samples import Sample
from savs.errors import ItemError

if TYPE_CHECKING:
    import numpy as np

    from savs.artifact.artifact import Artifact

READERS = 8  # threads that hash media
Key = tuple[tuple[str, ...], str | None]  # the sha256 of an example's media, and its question


@dataclass(frozen=True)
class Reused:
    """An example that is stored.

    number   among the examples of all artifacts that were searched, in order
    vector   float32 [width]
    digests  of its media
    """

    number: int
    vector: "np.ndarray"
    digests: tuple[Digest, ...]


def find_stored(artifacts: "Sequence[Artifact]", samples: Iterable[Sample]) -> Mapping[int, Reused]:
    """Return what is stored of those `samples` that show the same media with the same question as an example
    of one of `artifacts`, by their index. Media that cannot be read are not found: the model says why."""
    stored = _stored(artifacts)
    values = [row for artifact in artifacts if artifact.examples for row in artifact.examples.vectors.values]
    sizes = {size for artifact in artifacts for row in artifact.manifest.training for size in row.sizes}

    def find(sample: Sample) -> tuple[int, Reused] | None:
        try:
            digests = tuple(map(hash_media, sample.media))
        except ItemError:
            return None
        hashes = tuple(digest.sha256 for digest in digests if digest.sha256 is not None)
        known = {one.size for one in digests} <= sizes
        number = stored.get((hashes, sample.question)) if known else None
        return None if number is None else (sample.index, Reused(number, values[number], digests))

    with ThreadPoolExecutor(READERS, thread_name_prefix="hash") as pool:
        return dict(one for one in pool.map(find, samples) if one is not None)


def _stored(artifacts: "Sequence[Artifact]") -> dict[Key, int]:
    """Return the number of each example whose media were hashed, by its key."""
    found: dict[Key, int] = {}
    number = 0
    for artifact in artifacts:
        if artifact.examples is None:
            continue
        rows = zip(artifact.manifest.training, artifact.examples.shown, strict=True)
        for row, shown in rows:
            if len(row.sizes) == len(row.sha256) == len(shown.media):
                found.setdefault((row.sha256, shown.question), number)
            number += 1
    return found

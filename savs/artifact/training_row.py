"""The record of a training example in an artifact, for the leak check."""

import hashlib
from collections.abc import Sequence

from pydantic import model_validator

from savs.data.labels import Label
from savs.data.media import Digest, base_name
from savs.readout.records import ManifestEntry


def question_hash(question: str) -> str:
    """Return the sha256 of a question as it is shown, as hexadecimal digits."""
    return hashlib.sha256(question.encode()).hexdigest()


class TrainingRow(ManifestEntry):
    """One example that the artifact was fitted on, with its identity (see `savs.artifact.leaks`).

    sha256, sizes, names  of its media files, in order: hash of the bytes, number of bytes, and file name
    question_sha256       of the question as it was shown; None if the row cannot be recognised
    """

    id: str
    label: Label
    sha256: tuple[str, ...]
    sizes: tuple[int, ...] = ()
    names: tuple[str, ...] = ()
    question_sha256: str | None = None

    @model_validator(mode="after")
    def _check(self) -> "TrainingRow":
        if self.question_sha256 is not None and not len(self.sha256) == len(self.sizes) == len(self.names):
            raise ValueError(f"training row {self.id!r} needs one size and one name for each sha256")
        return self


def training_row(
    id: str, label: Label, question: str, media: Sequence[str], digests: Sequence[Digest]
) -> TrainingRow:
    """Return the training row of an example. It cannot be recognised unless all its media were hashed."""
    hashes = tuple(digest.sha256 for digest in digests if digest.sha256 is not None)
    whole = len(hashes) == len(digests) == len(media)
    return TrainingRow(
        id=id,
        label=label,
        sha256=hashes,
        sizes=tuple(digest.size for digest in digests) if whole else (),
        names=tuple(map(base_name, media)) if whole else (),
        question_sha256=question_hash(question) if whole else None,
    )

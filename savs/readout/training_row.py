"""A training example as an artifact keeps it, so that it can be recognised in a corpus."""

import hashlib
from collections.abc import Sequence

from pydantic import BaseModel, ConfigDict, model_validator

from savs.data.media import Digest, base_name


class ManifestEntry(BaseModel):
    """Base of what an artifact's manifest holds: immutable, no unknown fields."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def question_hash(question: str) -> str:
    """sha256 of a question as it is shown, as hexadecimal digits."""
    return hashlib.sha256(question.encode()).hexdigest()


class TrainingRow(ManifestEntry):
    """One example that the artifact was fitted on, and what it is found by again (see `savs.readout.leaks`).

    sha256, sizes, names  of its media, in order: of the bytes, how many they are, and the files' names
    question_sha256       of the question as it was shown; None where the row cannot be found again
    """

    id: str
    label: str
    sha256: tuple[str, ...]
    sizes: tuple[int, ...] = ()
    names: tuple[str, ...] = ()
    question_sha256: str | None = None

    @model_validator(mode="after")
    def _check(self) -> "TrainingRow":
        if self.question_sha256 is not None and not len(self.sha256) == len(self.sizes) == len(self.names):
            raise ValueError(f"training row {self.id!r} has not as many sizes and names as media")
        return self


def training_row(
    id: str, label: str, question: str, media: Sequence[str], digests: Sequence[Digest]
) -> TrainingRow:
    """The training row of an example. Where not all of its media were hashed, it cannot be found again."""
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

"""Contents of an artifact's `manifest.json`: everything that is needed to use its heads again."""

import hashlib
import json
from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Literal

from pydantic import Field, model_validator

from savs.artifact.training_row import TrainingRow
from savs.data.video.sampling import FrameSampling
from savs.model.heads import HeadLayout
from savs.model.pixels import Size
from savs.readout.records import MULTI, Choice, LayerEntry, ManifestEntry, Suspect, head_layout

SCHEMA: Literal[2] = 2  # 1 had neither choice, suspects nor stored vectors
DIGITS = 12  # of a digest


class ModelIdentity(ManifestEntry):
    """The model that made an artifact. Only `fingerprint` is compared; the rest is for readers."""

    id: str
    revision: str
    fingerprint: str
    dtype: str


class PromptFormat(ManifestEntry):
    """How items are shown: frames of a video, or frames per second; the processor's sizes, which are
    pixel budgets if it has them (see `savs.model.pixels`); and the source of the chat template
    ("fallback": the checkpoint has none)."""

    frames: int | None
    fps: float | None
    image_size: Size | None
    video_size: Size | None
    chat: Literal["processor", "tokenizer", "fallback"] = "processor"

    @property
    def sampling(self) -> FrameSampling:
        return FrameSampling(self.frames, self.fps)

    @property
    def sizes(self) -> dict[str, Size]:
        """The sizes in the form of `savs.model.pixels.sizes_of`."""
        both = {"image_processor": self.image_size, "video_processor": self.video_size}
        return {part: size for part, size in both.items() if size}

    @model_validator(mode="after")
    def _check(self) -> "PromptFormat":
        _ = self.sampling  # raises ValueError if frames and fps are invalid
        return self


class Origin(ManifestEntry):
    """The origin of head vectors: the model, how items were shown to it, and its heads."""

    model: ModelIdentity
    prompt: PromptFormat
    layout: tuple[LayerEntry, ...]

    def head_layout(self) -> HeadLayout:
        return head_layout(self.layout)


class Manifest(ManifestEntry):
    """`manifest.json`. `question` is set if all training rows share it.

    scores          examples that each head alone labels right, layer by layer; none with several labels per
                    item
    choice          why this readout; None in schema 1
    suspects        examples that the others contradict, most certain first
    stored_vectors  the type on disk of the examples' vectors, `examples.safetensors`; None if it has none
    """

    schema_version: Literal[1, 2] = SCHEMA
    name: str
    version: str
    classes: Annotated[tuple[str, ...], Field(min_length=2)]
    origin: Origin
    question: str | None
    readout: str
    scores: tuple[Annotated[int, Field(ge=0, lt=2**31)], ...]
    training: tuple[TrainingRow, ...]
    libraries: dict[str, str]
    created: datetime
    choice: Choice | None = None
    suspects: tuple[Suspect, ...] = ()
    stored_vectors: str | None = None

    @model_validator(mode="after")
    def _check(self) -> "Manifest":
        if any(isinstance(row.label, tuple) != (self.readout == MULTI) for row in self.training):
            raise ValueError(
                f"lists of labels belong to readout {MULTI!r}, and one text per example to others"
            )
        return self


def digest_of(classes: Sequence[str], data: bytes) -> str:
    """Return the first 12 hexadecimal digits of the sha256 of an artifact's classes and `savs.safetensors`.
    The same examples, fitted in the same way, have the same digest in every workspace."""
    return hashlib.sha256(json.dumps(list(classes)).encode() + data).hexdigest()[:DIGITS]

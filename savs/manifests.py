"""What an artifact's `manifest.json` holds: everything that is needed to use its heads again."""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from savs.budgets import Size
from savs.heads import HeadLayout, LayerHeads
from savs.leaks import question_hash
from savs.media import Digest, FrameSampling, base_name

SCHEMA: Literal[1] = 1


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ModelIdentity(_Strict):
    """Which model made an artifact. `fingerprint` is what counts; the rest is for people."""

    id: str
    revision: str
    fingerprint: str
    dtype: str


class PromptFormat(_Strict):
    """How items are shown: frames of a video, or frames per second; the processor's sizes, which are
    pixel budgets where it has them (see `savs.budgets`); and whose chat template writes the prompts
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
        """As `savs.budgets.sizes_of` has them."""
        both = {"image_processor": self.image_size, "video_processor": self.video_size}
        return {part: size for part, size in both.items() if size}

    @model_validator(mode="after")
    def _check(self) -> "PromptFormat":
        _ = self.sampling  # raises ValueError where the two numbers cannot be
        return self


class LayerEntry(_Strict):
    layer: Annotated[int, Field(ge=0)]
    heads: Annotated[int, Field(gt=0)]
    head_dim: Annotated[int, Field(gt=0)]


class Origin(_Strict):
    """Where head vectors come from: the model, how items were shown to it, and its heads."""

    model: ModelIdentity
    prompt: PromptFormat
    layout: tuple[LayerEntry, ...]

    def head_layout(self) -> HeadLayout:
        return HeadLayout(tuple(LayerHeads(x.layer, x.heads, x.head_dim) for x in self.layout))


class TrainingRow(_Strict):
    """One example that the artifact was fitted on, and what it is found by again (see `savs.leaks`).

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


class Manifest(_Strict):
    """`manifest.json`. `question` is there when all training rows share it."""

    schema_version: Literal[1] = SCHEMA
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

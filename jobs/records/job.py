"""Jobs and their specs, which are resolved at submission so that they mean the same on every machine.

A job's id ends in the hash of its spec, and the spec holds the data's ETag. Submitting the same
work again therefore joins the existing job, and any change makes another job.
"""

import hashlib
import re
from collections import Counter
from typing import Annotated, Any, Literal

from pydantic import AwareDatetime, Field, model_validator

from jobs.records.record import Record
from savs.data.samples import Reading, base_of
from savs.data.video.sampling import MAX_VIDEO_FRAMES
from savs.errors import SettingsError
from savs.readout.decision import Decision

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
VERSION = re.compile(
    r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}"
)  # of an artifact: a job's id, and more if fitted again
Name = Annotated[str, Field(pattern=f"^{NAME.pattern}$")]
HASH_DIGITS = 8
JobId = Annotated[str, Field(pattern=rf"^{NAME.pattern}-(extract|pilot|classify)-[0-9a-f]{{{HASH_DIGITS}}}$")]
Digits = Annotated[str, Field(pattern=rf"^[0-9a-f]{{{HASH_DIGITS}}}$")]
MAX_FAILURE_RATE = 0.5  # share of a job's first rows that may fail before it is stopped
RATE_SECONDS = 10.0  # of workers' time that a job needs to be a measurement of a model's rate
MAX_NOTE = 1000  # characters
PILOT_ROWS = 800  # rows of a corpus that a readout learns from; more than that hardly helps
Kept = Literal["heads", "all"]  # heads whose vectors a classify job stores
MAX_CLASSES = 1000  # of a zero-shot job; they are in its spec, which every shard reads
LATER = (
    "zero_shot",
    "prompt",
    "split",
    "together",
    "reuse",
    "decision",
    "keep_vectors",
)  # fields that were added to specs later


class RowOptions(Record):
    """How to read a manifest's rows.

    media_root    folder or s3:// address of relative paths; None for the manifest's own folder
    strip_prefix  prefix removed from paths, which makes them relative
    question      of rows that have none
    """

    format: str = "general"
    media_root: str | None = None
    strip_prefix: str = ""
    question: Annotated[str, Field(pattern=r"\S")] | None = None


class Source(RowOptions):
    """A manifest, and the ETag it had when it was submitted."""

    url: str
    etag: str

    @property
    def gone(self) -> str:
        """What to say if the manifest does not exist any more."""
        return (
            f"{self.url} does not exist; put the manifest back there, or submit it again from where it is "
            "now: that is another job"
        )

    @property
    def reading(self) -> Reading:
        return Reading(base_of(self.url, self.media_root), self.format, self.strip_prefix, self.question)


class PromptOptions(Record):
    """How items are shown, if not by the checkpoint's own settings: see `savs.model.model.Model.shown`.

    An artifact stores the resulting settings, and they apply to the items that it labels.
    """

    frames: Annotated[int, Field(ge=1, le=MAX_VIDEO_FRAMES)] | None = None
    fps: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    min_pixels: Annotated[int, Field(ge=1)] | None = None
    max_pixels: Annotated[int, Field(ge=1)] | None = None

    @model_validator(mode="after")
    def _check(self) -> "PromptOptions":
        if self.frames is not None and self.fps is not None:
            raise ValueError("--frames and --fps exclude each other")
        if self.min_pixels and self.max_pixels and self.min_pixels > self.max_pixels:
            raise ValueError("--min-pixels is more than --max-pixels")
        return self


def family(name: str, split: str | None) -> str:
    """Return the name under which a job was submitted: its own without the split."""
    return name if split is None else name.removesuffix(f".{split}")


class ExtractSpec(Record):
    """Fit an artifact on labelled examples. Those whose vectors an artifact of `reuse` has stored are not
    read again. The job of one of several splits is named `<family>.<split>`. So is each of several jobs that
    share a pass through the model, and these have the same `together`."""

    kind: Literal["extract"] = "extract"
    name: Name
    split: Name | None = None
    together: Digits | None = None
    model: str
    train: Source
    prompt: PromptOptions = PromptOptions()
    heads: Annotated[int, Field(ge=1)] | None  # None: by the readout
    readout: Literal["auto", "reference", "ridge", "corpus", "hec"]
    reuse: tuple[str, ...] = ()
    shard_size: Annotated[int, Field(ge=1)] | None = None  # None: by the model's rate
    batch_tokens: Annotated[int, Field(ge=1)] | None = None  # None: by the device

    @property
    def source(self) -> Source:
        return self.train

    @property
    def family(self) -> str:
        return family(self.name, self.split)


class PilotSpec(Record):
    """Read the vectors of rows drawn evenly from a corpus, and fit an artifact again that also learns from
    them.

    artifact  whose examples are fitted again; `after` is the job that makes it, if it does not exist yet
    rows      at most how many rows are drawn
    seed      of the draw: where in its interval of the corpus each row lies
    """

    kind: Literal["pilot"] = "pilot"
    name: Name
    split: Name | None = None
    model: str
    data: Source
    artifact: str
    after: JobId | None = None
    rows: Annotated[int, Field(ge=1)] = PILOT_ROWS
    seed: Annotated[int, Field(ge=0)] = 0
    decision: Decision = Decision()
    shard_size: Annotated[int, Field(ge=1)] | None = None
    batch_tokens: Annotated[int, Field(ge=1)] | None = None  # None: by the device

    @property
    def source(self) -> Source:
        return self.data

    @property
    def family(self) -> str:
        return family(self.name, self.split)


class ZeroShot(Record):
    """Ask the model itself, without examples.

    method          "greedy": the generated text; "constrained": the most likely class
    classes         in order; greedy texts that are not a class are counted together
    max_new_tokens  of a greedy answer
    prompt          how items are shown, since no artifact stores it
    question        of rows that have none
    """

    method: Literal["greedy", "constrained"]
    classes: tuple[Annotated[str, Field(pattern=r"\S")], ...]
    max_new_tokens: Annotated[int, Field(ge=1)] | None = None
    prompt: PromptOptions = PromptOptions()
    question: Annotated[str, Field(pattern=r"\S")] | None = None

    @model_validator(mode="after")
    def _check(self) -> "ZeroShot":
        if len(self.classes) > MAX_CLASSES:
            raise ValueError(f"{len(self.classes)} classes; at most {MAX_CLASSES} are possible")
        if twice := [name for name, count in Counter(self.classes).items() if count > 1]:
            raise ValueError(f"the class {twice[0]!r} is given twice")
        if self.method == "constrained" and len(self.classes) < 2:
            raise ValueError("at least two classes are needed to choose from")
        if (self.method == "greedy") != (self.max_new_tokens is not None):
            raise ValueError(
                "max_new_tokens is required for greedy answers and not allowed for constrained ones"
            )
        return self


class ClassifySpec(Record):
    """Label a corpus with an artifact, or `zero_shot`. `after` is the job that makes the artifact, if
    it does not exist yet; if that is a pilot, its rows are not read again. `split` and `together` are as in
    an `ExtractSpec`.

    keep_vectors  store the head vectors of the rows: those of the "heads" that the readout uses, or of "all"
    """

    kind: Literal["classify"] = "classify"
    name: Name
    split: Name | None = None
    together: Digits | None = None
    model: str
    data: Source
    artifact: str | None = None
    zero_shot: ZeroShot | None = None
    decision: Decision = Decision()
    after: JobId | None = None
    keep_vectors: Kept | None = None
    shard_size: Annotated[int, Field(ge=1)] | None = None  # None: by the model's rate
    batch_tokens: Annotated[int, Field(ge=1)] | None = None  # None: by the device

    @property
    def source(self) -> Source:
        return self.data

    @model_validator(mode="after")
    def _check(self) -> "ClassifySpec":
        if (self.artifact is None) == (self.zero_shot is None):
            raise ValueError("a classify job needs either `artifact` or `zero_shot`")
        if self.artifact is None and self.after is not None:
            raise ValueError("a zero-shot job cannot have `after`: it needs no artifact")
        if self.artifact is None and self.keep_vectors is not None:
            raise ValueError("a zero-shot job cannot have `keep_vectors`: it reads no head vectors")
        return self

    @property
    def family(self) -> str:
        return family(self.name, self.split)


AnySpec = ExtractSpec | PilotSpec | ClassifySpec
Spec = Annotated[AnySpec, Field(discriminator="kind")]
KINDS = ("extract", "pilot", "classify")  # in the order in which the jobs of one name run


class Job(Record):
    """`job.json`: the spec, and the fields that may differ between two submissions of the same work.

    companions  jobs whose shards run with this job's shards, in one pass
    beside      the job of which this one is a companion
    report      whether who reduces it makes its report
    """

    schema_version: Literal[1, 2] = 2  # 1 had no report, and specs with fewer fields
    job_id: JobId
    submitted: AwareDatetime
    spec: Spec
    max_failure_rate: Annotated[float, Field(ge=0, le=1)] = MAX_FAILURE_RATE
    note: Annotated[str, Field(max_length=MAX_NOTE)] | None = None
    companions: tuple[JobId, ...] = ()
    beside: JobId | None = None
    report: bool = False


def job_id(spec: AnySpec) -> str:
    """Return the id of the job with this spec, for example `pets-extract-1a2b3c4d`.

    Fields that were added later are hashed only if they are used, so that older jobs keep their ids.
    """
    fields = type(spec).model_fields
    unused: dict[str, Any] = {
        name: True for name in LATER if name in fields and getattr(spec, name) == fields[name].default
    }
    if spec.source.question is None:
        unused["train" if isinstance(spec, ExtractSpec) else "data"] = {"question"}
    if isinstance(spec, ClassifySpec) and spec.zero_shot and spec.zero_shot.question is None:
        unused["zero_shot"] = {"question"}
    digest = hashlib.sha256(spec.model_dump_json(exclude=unused).encode()).hexdigest()
    return f"{spec.name}-{spec.kind}-{digest[:HASH_DIGITS]}"


def awaited(spec: AnySpec) -> str | None:
    """Return the id of the job that makes the artifact that this one needs; None if it waits for none."""
    return None if isinstance(spec, ExtractSpec) else spec.after


def is_pilot(job_id: str) -> bool:
    """Return whether this is the id of a pilot."""
    return job_id[: -HASH_DIGITS - 1].endswith("-pilot")


def is_zero_shot(spec: AnySpec) -> bool:
    """Return whether the job is zero-shot: then its rate is not that of reading heads, and not stored."""
    return isinstance(spec, ClassifySpec) and spec.zero_shot is not None


def checked_name(name: str, split: str | None = None) -> str:
    """Return `name`, or `<name>.<split>`. Raises SettingsError if it cannot be part of an address."""
    whole = name if split is None else f"{name}.{split}"
    if not NAME.fullmatch(whole):
        raise SettingsError(
            f"{whole!r} cannot be a name: use up to 64 letters, digits, '.', '_' and '-', "
            "beginning with a letter or digit"
        )
    return whole

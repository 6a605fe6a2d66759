"""The fields of `summary.json` that commands print. This module only checks them; `jobs.reduce.summary`
says how they come about."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

Count = Annotated[int, Field(ge=0, lt=2**63)]
Rate = Annotated[float, Field(ge=-1e-6, le=1 + 1e-6)]
Speed = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Interval = tuple[Rate, Rate]
TOGETHER = {"accuracy", "accuracy_interval", "balanced_accuracy", "macro_f1", "scored"}  # all, or none


class Part(BaseModel):
    """A part of a summary. Fields that are not printed may be anything; errors do not quote the input."""

    model_config = ConfigDict(extra="allow", strict=True, hide_input_in_errors=True)


class Example(Part):
    index: Count
    message: str
    id: str = ""


class RowErrors(Part):
    rows: Count
    examples: list[Example]


class ClassScore(Part):
    rows: Count
    recall: Rate | None = None
    precision: Rate | None = None
    f1: Rate | None = None
    average_precision: Rate | None = None
    recall_interval: Interval | None = None
    precision_interval: Interval | None = None


class RateOfRows(Part):
    rate: Rate
    interval: Interval
    rows: Count = 0


class GroupScore(Part):
    rates: dict[str, RateOfRows]
    scored: Count
    unscored: Count
    splits: dict[str, dict[str, RateOfRows]] | None = None


class ReliabilityBin(Part):
    rows: Annotated[Count, Field(ge=1)]
    confidence: Rate
    accuracy: Rate


class CoveragePoint(Part):
    rows: Count
    coverage: Rate
    error: Rate
    confidence: Rate


class LabelScore(Part):
    support: Count
    recall: Rate | None = None
    precision: Rate | None = None
    f1: Rate | None = None
    average_precision: Rate | None = None
    recall_interval: Interval | None = None
    precision_interval: Interval | None = None


class MultiScores(Part):
    """The scores of a job with several labels per item."""

    scored: Annotated[Count, Field(ge=1)]
    exact_match: Rate
    exact_match_interval: Interval
    micro_f1: Rate | None = None
    macro_f1: Rate | None = None
    mean_average_precision: Rate | None = None
    labels: dict[str, LabelScore]


class Scores(Part):
    """The scores of a job whose rows have labels. Without labels there is none of them; with several labels
    per item there is only `multi`."""

    accuracy: Rate = 0.0
    accuracy_interval: Interval = (0.0, 0.0)
    balanced_accuracy: Rate = 0.0
    macro_f1: Rate = 0.0
    mean_average_precision: Rate | None = None
    scored: Annotated[Count, Field(ge=1)] = 1
    multi: MultiScores | None = None

    @model_validator(mode="after")
    def _check(self) -> "Scores":
        if len(TOGETHER & self.model_fields_set) not in (0, len(TOGETHER)):
            raise ValueError("some of its scores are missing")
        return self


class Leak(Part):
    index: Count
    training: str


class Leaks(Part):
    verified: Count
    unverified: Count
    rows: list[Leak]


class Missing(Part):
    shard: Count
    first_index: Count
    rows: Count
    reason: str | None


class Timings(Part):
    items_per_second: dict[str, Speed]
    items_per_worker_second: Speed | None = None
    tokens_per_worker_second: Speed | None = None
    device_busy: Speed | None = None
    worker_seconds: Speed = 0.0
    seconds: dict[str, Speed] = {}


class Kept(Part):
    rows: Count
    pilot: Count
    bytes: Count


class Readout(Part):
    chosen: str
    why: str


class Summary(Scores):
    """`summary.json`, as far as commands print it."""

    job_id: str
    name: str
    kind: Literal["extract", "pilot", "classify"]
    status: Literal["done", "incomplete", "failed"]
    rows: Count
    shards: Count
    labelled: Count
    failed: Count
    abstained: Count
    classes: dict[str, Count]
    errors: dict[str, RowErrors]
    warnings: list[str] = []
    reason: str = ""
    advice: str = ""
    artifact: str | None = None
    readout: Readout | None = None
    suspects: Count = 0
    per_class: dict[str, ClassScore] = {}
    confusion: dict[str, dict[str, Count]] = {}
    splits: dict[str, RateOfRows] = {}
    groups: dict[str, GroupScore] = {}
    ece: Rate | None = None
    reliability: list[ReliabilityBin] = []
    risk_coverage: list[CoveragePoint] = []
    class_shares: dict[str, RateOfRows] = {}
    leaks: Leaks | None = None
    without_leaks: Scores = Scores()
    kept_vectors: Kept | None = None
    missing: list[Missing] = []
    timings: Timings

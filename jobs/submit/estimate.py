"""Estimates a job before it is submitted: rows, shards, classes, problems, hours and cost."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from jobs.ledger.ledger import Ledger
from jobs.ledger.prefetch import prefetch
from jobs.plans.planner import KEPT_SHARD_ROWS, MAX_SHARD_ROWS, manifest_rows, plan_manifest, shard_rows_for
from jobs.plans.survey import Survey
from jobs.records.job import Kept, RowOptions, Source
from jobs.records.message import gpu_queue
from jobs.records.plan import RowKind
from jobs.shards.keep import kept_layout
from jobs.submit.submission import GENERAL, make_source
from savs.data.formats import Fields
from savs.data.rows import Line, is_list
from savs.data.samples import head_of, parse_line
from savs.data.web import is_web
from savs.errors import BadLine, BadRow, ManifestError, SettingsError
from savs.storage import open_parent

SECONDS_PER_HOUR = 3600.0
FLOAT16_BYTES = 2  # of a stored value: savs.engine.vectors


@dataclass(frozen=True)
class ShownRow:
    """A row as it is shown to the model; no question is the artifact's."""

    media: tuple[str, ...]
    question: str | None
    label: Any


@dataclass(frozen=True)
class Estimate:
    """The estimate of one manifest.

    problems    rows that cannot be used; `bad` has the first row of each cause
    classes     rows per label, most frequent first
    unknown     fields that the format does not use, and the first line that has each
    warnings    about the labels of a training file, as `run` and `extract` print them; and about rows that
                repeat an id or media
    first       the first rows, as they are shown to the model
    missing     media that do not exist, of which `absent` are the first; None if not checked
    refused     why it cannot be submitted; None if it can
    rate        items per second of one worker, measured or given; None if unknown
    hours       until it is done, with all `workers`; None if the rate is unknown
    cost        of those hours, in the currency of the price; None without hours or a price
    kept_bytes  of the head vectors that are kept, without the rows' descriptions; None if none are
    """

    url: str
    bytes: int
    rows: int
    shards: int
    shard_rows: int
    kind: RowKind
    format: str
    problems: int
    bad: tuple[BadLine, ...]
    classes: dict[str, int]
    unknown: dict[str, int]
    warnings: tuple[str, ...] = ()
    first: tuple[ShownRow, ...] = ()
    missing: int | None = None
    absent: tuple[BadLine, ...] = ()
    refused: str | None = None
    rate: float | None = None
    hours: float | None = None
    cost: float | None = None
    kept_bytes: int | None = None


def estimate(
    ledger: Ledger | None,
    url: str,
    option: str,
    *,
    labelled: bool,
    model: str,
    row_options: RowOptions = GENERAL,
    check_media: bool = False,
    shard_rows: int | None = None,
    rate: float | None = None,
    workers: int = 1,
    gpu_hour_price: float | None = None,
    keeps: int | None = None,
) -> Estimate:
    """Return the estimate of the manifest at `url`. Writes nothing.

    ledger       its measured rates are used if none is given
    check_media  check that every image and video exists; on S3 that is a request each
    keeps        bytes of head vectors that are kept per row: `kept_bytes`; None if none are

    Raises SettingsError if the manifest cannot be read at all.
    """
    source = make_source(url, option, row_options)
    store, key = open_parent(source.url)
    rates = {} if ledger is None else ledger.rates(gpu_queue(model))
    if rate is not None:
        rates = dict.fromkeys(("image", "video", "text"), rate)
    survey, refused = Survey(), None
    rows, size, shards = 0, shard_rows or 0, 0
    try:
        plan = plan_manifest(
            source.url,
            shard_rows,
            labelled=labelled,
            reading=source.reading,
            rates=rates,
            survey=survey,
            most_rows=MAX_SHARD_ROWS if keeps is None else KEPT_SHARD_ROWS,
        )
        rows, size, shards = plan.rows, plan.shard_rows, len(plan)
    except ManifestError as error:
        refused = f"{error.count} of its rows cannot be used, and every training row must be usable"
    except SettingsError as error:
        refused = str(error)
    absent = [] if not check_media or refused else list(absent_media(source))
    kind = survey.kind or "image"
    known = rates.get(kind)
    hours = rows / known / workers / SECONDS_PER_HOUR if known else None
    return Estimate(
        url=source.url,
        format=source.format,
        bytes=store.size(key),
        rows=rows or survey.rows,
        shards=shards,
        shard_rows=size or shard_rows_for(kind, rates),
        kind=kind,
        problems=survey.problems,
        bad=tuple(survey.bad.values()),
        classes=dict(survey.labels.most_common()),
        unknown=survey.unknown,
        warnings=() if refused else _warnings(survey, source.url),
        first=tuple(map(_shown, survey.first)),
        missing=len(absent) if check_media else None,
        absent=tuple(absent[: ManifestError.SHOWN]),
        refused=refused,
        rate=known,
        hours=hours,
        kept_bytes=None if keeps is None else rows * keeps,
        cost=None if hours is None or gpu_hour_price is None else hours * workers * gpu_hour_price,
    )


def kept_bytes_per_row(url: str, kept: Kept) -> int:
    """Return how many bytes of head vectors a job with the artifact at `url` keeps per row. Raises as
    `load_artifact`."""
    from savs.artifact.artifact import load_artifact

    layout = kept_layout(kept, load_artifact(url).readout)
    return 0 if layout is None else FLOAT16_BYTES * layout.width


def _shown(fields: Fields) -> ShownRow:
    return ShownRow(fields.media, fields.question, fields.label)


def _warnings(survey: Survey, url: str) -> tuple[str, ...]:
    found = [*survey.label_warnings(url), *survey.repeats(url)]
    if survey.media.rows and survey.examples is None:  # those of examples are among the label warnings
        found.append(f"{url}: {survey.media.said('the media and the question')}")
    return tuple(found)


def absent_media(source: Source) -> Iterator[BadLine]:
    """Yield media of usable rows that do not exist, with their lines. Media on the web are not checked."""
    store, key = open_parent(source.url)

    def look(line: Line) -> list[BadLine]:
        try:
            media = parse_line(line, source.reading, labelled=False).media
        except BadRow:
            return []
        return [
            BadLine(line.number, f"{address} does not exist")
            for address in media
            if not is_web(address) and not _is_there(address)
        ]

    with store.open(key) as stream:
        for found in prefetch(look, manifest_rows(stream, is_list(head_of(stream)), source.url)):
            yield from found


def _is_there(address: str) -> bool:
    store, key = open_parent(address)
    return store.exists(key)

"""Turns a user's request into jobs in the ledger.

Everything that can be checked without a model is checked here, before anything is written.
"""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from jobs.ledger.ledger import Ledger
from jobs.paths import check_path, resolve_address
from jobs.plans.planner import KEPT_SHARD_ROWS, MAX_SHARD_ROWS, plan_manifest
from jobs.plans.survey import Survey
from jobs.records.job import (
    MAX_FAILURE_RATE,
    AnySpec,
    ClassifySpec,
    ExtractSpec,
    Job,
    Kept,
    PilotSpec,
    PromptOptions,
    RowOptions,
    Source,
    checked_name,
    is_zero_shot,
    job_id,
)
from jobs.records.message import gpu_queue
from jobs.records.plan import Plan
from jobs.shards.companions import join_jobs
from jobs.submit.artifacts import read_card
from jobs.submit.checks import check_decisions, check_labels, check_questions, check_spec
from jobs.submit.list_checks import check_lists
from jobs.submit.sample import plan_pilot
from savs.data.formats import format_of
from savs.errors import Changed, NotFound, SettingsError
from savs.model.checkpoint import ALIASES
from savs.readout.decision import Decision
from savs.storage import open_parent, without_scheme

GENERAL = RowOptions()
AS_TRAINED = PromptOptions()
AS_FITTED = Decision()


def make_source(url: str, option: str, rows: RowOptions = GENERAL) -> Source:
    """Return the manifest at `url` with its current ETag. Raises SettingsError if it cannot be read."""
    format_of(rows.format)
    url = without_scheme(url)
    root = None if rows.media_root is None else without_scheme(rows.media_root)
    if root is not None and "://" in root and not root.startswith("s3://"):
        raise SettingsError(f"--media-root: {root} is neither a folder nor s3://bucket/prefix")
    if "://" in url and not url.startswith("s3://"):
        raise SettingsError(f"{option}: {url}: only local paths and s3:// addresses can be read")
    place = resolve_address(url)
    if not place.startswith("s3://") and check_path(Path(place).is_dir):
        raise SettingsError(f"{option}: {url} is a folder; a JSONL or JSON file is needed")
    store, key = open_parent(place)
    try:
        return Source(
            url=place,
            etag=store.etag(key),
            format=rows.format,
            media_root=None if root is None else resolve_address(root),
            strip_prefix=rows.strip_prefix,
            question=rows.question,
        )
    except NotFound as error:
        raise SettingsError(f"{option}: {error}") from error


def resolve_model(model: str) -> str:
    """Return the absolute path of a folder, and an alias or a hub id unchanged. A folder that is called like
    an alias, and is no checkpoint, does not hide it."""
    folder = Path(model)
    if model in ALIASES and not check_path((folder / "config.json").is_file):
        return model
    return str(folder.resolve()) if check_path(folder.is_dir) else model


def extract_job(
    name: str,
    model: str,
    train: str,
    *,
    heads: int | None,
    readout: str,
    shard_size: int | None,
    batch_tokens: int | None,
    split: str | None = None,
    prompt: PromptOptions = AS_TRAINED,
    reuse: tuple[str, ...] = (),
    rows: RowOptions = GENERAL,
    max_failure_rate: float = MAX_FAILURE_RATE,
    note: str | None = None,
) -> Job:
    """Return a job that fits an artifact on `train`. Neither writes the job nor reads its rows.

    split  name of its split, if there are several
    reuse  addresses of artifacts whose stored examples are not read again
    """
    spec = ExtractSpec.model_validate(
        {
            "name": checked_name(name, split),
            "split": split,
            "model": resolve_model(model),
            "train": make_source(train, "--train", rows),
            "prompt": prompt,
            "heads": heads,
            "readout": readout,
            "reuse": reuse,
            "shard_size": shard_size,
            "batch_tokens": batch_tokens,
        }
    )
    return new_job(spec, max_failure_rate, note)


def classify_job(
    name: str,
    model: str,
    data: str,
    artifact: str,
    *,
    shard_size: int | None,
    batch_tokens: int | None,
    after: str | None = None,
    split: str | None = None,
    decision: Decision = AS_FITTED,
    keep_vectors: Kept | None = None,
    rows: RowOptions = GENERAL,
    max_failure_rate: float = MAX_FAILURE_RATE,
    note: str | None = None,
) -> Job:
    """Return a job that labels `data`. Neither writes the job nor reads its rows.

    artifact      its address; it need not exist yet if `after` names the job that will make it
    split         name of its split, if there are several
    keep_vectors  as in a `ClassifySpec`
    """
    spec = ClassifySpec(
        name=checked_name(name, split),
        split=split,
        model=resolve_model(model),
        data=make_source(data, "--data", rows),
        artifact=artifact,
        decision=decision,
        after=after,
        keep_vectors=keep_vectors,
        shard_size=shard_size,
        batch_tokens=batch_tokens,
    )
    return new_job(spec, max_failure_rate, note)


def classify_jobs(name: str, model: str | None, data: str, artifacts: Sequence[str], **how: Any) -> list[Job]:
    """Return a job for each of `artifacts`. Several jobs share one pass through the model, and are named
    `<name>.<artifact>`.

    model  by default the one that made the artifacts
    how    as in `classify_job`

    Raises SettingsError if they cannot share a pass, and as `classify_job`.
    """
    made = [read_card(url) for url in artifacts]
    names = [card.name for card in made]
    if twice := [own for own in names if names.count(own) > 1]:
        raise SettingsError(
            f"--artifact: two are called {twice[0]!r}, so their rows would have the same task; submit them "
            "one by one"
        )
    models = list(dict.fromkeys(card.model for card in made))
    if model is None and len(models) > 1:
        raise SettingsError(
            f"--artifact: made with {models[0]} and {models[1]}, but a pass uses one model; submit them "
            "one by one"
        )
    model = model or models[0]
    if len(artifacts) == 1:
        return [classify_job(name, model, data, artifacts[0], **how)]
    return join_jobs(
        [
            classify_job(name, model, data, url, split=own, **how)
            for url, own in zip(artifacts, names, strict=True)
        ]
    )


def new_job(spec: AnySpec, max_failure_rate: float, note: str | None) -> Job:
    """Return a job of `spec`, submitted now. Raises SettingsError if rate or note cannot be used."""
    try:
        return Job(
            job_id=job_id(spec),
            submitted=datetime.now(UTC),
            spec=spec,
            max_failure_rate=max_failure_rate,
            note=note,
        )
    except ValidationError as error:
        problem = error.errors(include_url=False)[0]
        option = "--" + str(problem["loc"][0]).replace("_", "-")
        raise SettingsError(f"{option}: {problem['msg']}") from error


def submit(
    ledger: Ledger,
    jobs: Sequence[Job],
    *,
    plan_remote: bool = True,
    ready: Callable[[], None] = lambda: None,
    tell: Callable[[str], None] = lambda text: None,
) -> list[Job]:
    """Write `jobs` to the ledger and return them, or in their place those that exist already.

    All are planned before one is written.

    plan_remote  False leaves the planning of manifests on S3 to a worker
    ready        is called once all are planned and nothing is written; if it raises, nothing is
    tell         is called with what the user should know of the rows

    Raises as `plan_manifest`, `check_questions`, `check_lists`, `check_decisions` and `check_spec`.
    """
    surveys: dict[str, Survey] = {}
    plans: dict[tuple[str, Source], Plan] = {}  # of the jobs that are not planned yet
    for job in jobs:
        source = job.spec.source
        if isinstance(job.spec, PilotSpec):
            continue  # it has the rows of a later one of the jobs
        if (plan_remote or not source.url.startswith("s3://")) and not ledger.is_planned(job.job_id):
            first = plans.get((job.beside or "", source))
            if first is None:
                survey = surveys[job.job_id] = Survey()
                plans[job.job_id, source], _ = plan_job(ledger, job, survey)
                if survey.problems:
                    tell(survey.warning(source.url))
                for line in survey.repeats(source.url):
                    tell(line)
            else:
                plans[job.job_id, source], surveys[job.job_id] = first, surveys[job.beside or ""]
    pilots = {
        job.job_id: job.spec
        for job in jobs
        if isinstance(job.spec, PilotSpec) and not ledger.is_planned(job.job_id)
    }
    check_questions(jobs, surveys, tell)
    check_labels(jobs, surveys, tell)
    check_lists(jobs, surveys)
    check_decisions(jobs, surveys)
    for job in jobs:
        if job.job_id in surveys or job.job_id in pilots:
            check_spec(job.spec)
    planned: dict[str, tuple[Plan, bytes | None]] = {}
    for job in jobs:
        plan = plans.get((job.job_id, job.spec.source))
        if plan is not None:
            planned[job.job_id] = plan, None
            if isinstance(job.spec, ClassifySpec) and job.spec.after in pilots:
                planned[job.spec.after] = plan_pilot(pilots[job.spec.after], plan)
    ready()
    return [ledger.create_job(job, *planned.get(job.job_id, (None, None))) for job in jobs]


def plan_job(
    ledger: Ledger, job: Job, survey: Survey | None = None, inside: Sequence[str] | None = None
) -> tuple[Plan, bytes | None]:
    """Return the plan of a job and, if it is a pilot, the sample of which it is the plan. A companion with
    the same manifest has the plan of the job whose pass it shares, so that their shards have the same rows.
    Raises as `plan_manifest`, and Changed if the manifest is no longer the one that was submitted.

    inside  as in `plan_manifest`
    """
    source = job.spec.source
    if job.beside is not None and ledger.is_there(job.beside):
        first = ledger.job(job.beside)
        if first.spec.source == source:
            if not ledger.is_planned(job.beside):
                ledger.create_plan(job.beside, *plan_job(ledger, first, inside=inside))
            return ledger.planned(job.beside).plan, None
    keeps = isinstance(job.spec, ClassifySpec) and job.spec.keep_vectors is not None
    plan = plan_manifest(
        source.url,
        None if isinstance(job.spec, PilotSpec) else job.spec.shard_size,
        labelled=job.spec.kind == "extract",
        reading=source.reading,
        rates={} if is_zero_shot(job.spec) else ledger.rates(gpu_queue(job.spec.model)),
        survey=survey,
        inside=inside,
        most_rows=KEPT_SHARD_ROWS if keeps else MAX_SHARD_ROWS,
    )
    sample = None
    if isinstance(job.spec, PilotSpec):
        plan, sample = plan_pilot(job.spec, plan, inside)
    store, key = open_parent(source.url)
    if store.etag(key) != source.etag:
        raise Changed(f"{source.url} has changed since the job was submitted; submit it again")
    return plan, sample

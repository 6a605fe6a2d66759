"""Turns what a user asks for into jobs in the ledger.

Everything that can be checked without a model is checked here, before anything is written.
"""

import json
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

from pydantic import ValidationError

from jobs.broker import gpu_queue
from jobs.ledger import Ledger
from jobs.planning import Plan, plan_manifest
from jobs.specs import (
    MAX_FAILURE_RATE,
    NAME,
    ClassifySpec,
    ExtractSpec,
    Job,
    PromptOptions,
    RowsAs,
    Source,
    checked_name,
    is_zero_shot,
    job_id,
)
from savs.errors import ArtifactNotFound, Changed, ModelNotFound, NotFound, SettingsError
from savs.formats import format_of
from savs.storage import join, open_parent, open_store

GENERAL = RowsAs()
AS_TRAINED = PromptOptions()


def make_source(url: str, option: str, rows: RowsAs = GENERAL) -> Source:
    """The manifest at `url` as it is now. Raises SettingsError where it cannot be read."""
    format_of(rows.format)
    root = rows.media_root
    if root is not None and "://" in root and not root.startswith("s3://"):
        raise SettingsError(f"--media-root: {root} is neither a folder nor s3://bucket/prefix")
    if "://" in url and not url.startswith("s3://"):
        raise SettingsError(f"{option}: {url}: only local paths and s3:// addresses can be read")
    place = resolved(url)
    if not place.startswith("s3://") and answers(Path(place).is_dir):
        raise SettingsError(f"{option}: {url} is a folder; a JSONL or JSON file is needed")
    store, key = open_parent(place)
    try:
        return Source(
            url=place,
            etag=store.etag(key),
            format=rows.format,
            media_root=None if root is None else resolved(root),
            strip_prefix=rows.strip_prefix,
        )
    except NotFound as error:
        raise SettingsError(f"{option}: {error}") from error


def resolved(url: str) -> str:
    """A local path as it is everywhere on this machine; other addresses as they are."""
    return url if "://" in url else str(Path(url).expanduser().resolve())


def answers(question: Callable[[], bool]) -> bool:
    """`question()` of a path; False where the system refuses: no permission, a name too long."""
    try:
        return question()
    except OSError:
        return False


def resolve_model(model: str) -> str:
    """A folder by its absolute path; an alias or a hub id as it is."""
    return str(Path(model).resolve()) if answers(Path(model).is_dir) else model


def extract_job(
    name: str,
    model: str,
    train: str,
    *,
    heads: int,
    readout: str,
    shard_size: int | None,
    batch_tokens: int | None,
    split: str | None = None,
    prompt: PromptOptions = AS_TRAINED,
    rows: RowsAs = GENERAL,
    max_failure_rate: float = MAX_FAILURE_RATE,
    note: str | None = None,
) -> Job:
    """A job that fits an artifact on `train`. It is not written yet, and its rows are not looked at.

    split  which of several of that name it is
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
    rows: RowsAs = GENERAL,
    max_failure_rate: float = MAX_FAILURE_RATE,
    note: str | None = None,
) -> Job:
    """A job that labels `data`. It is not written yet, and its rows are not looked at.

    artifact  its address; where `after` names the job that will make it, it need not exist yet
    split     which of several of that name it is
    """
    spec = ClassifySpec(
        name=checked_name(name, split),
        split=split,
        model=resolve_model(model),
        data=make_source(data, "--data", rows),
        artifact=artifact,
        after=after,
        shard_size=shard_size,
        batch_tokens=batch_tokens,
    )
    return new_job(spec, max_failure_rate, note)


def new_job(spec: ExtractSpec | ClassifySpec, max_failure_rate: float, note: str | None) -> Job:
    """A job of `spec`, submitted now. Raises SettingsError where rate or note cannot be used."""
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


def submit(ledger: Ledger, jobs: Sequence[Job], *, plan_remote: bool = True) -> list[Job]:
    """Writes `jobs` to the ledger; those that are there already are the answer instead.

    All are planned before one is written, so that whoever resumes finds all of them or none.

    plan_remote  False leaves manifests on S3 to be planned by a worker

    Raises as `plan_manifest`.
    """
    plans = [
        plan_job(ledger, job)
        if (plan_remote or not job.spec.source.url.startswith("s3://")) and not ledger.is_planned(job.job_id)
        else None
        for job in jobs
    ]
    return [ledger.create_job(job, plan) for job, plan in zip(jobs, plans, strict=True)]


def plan_job(ledger: Ledger, job: Job) -> Plan:
    """The plan of a job whose manifest is still the one that was submitted. Raises as
    `plan_manifest`, and Changed."""
    source = job.spec.source
    plan = plan_manifest(
        source.url,
        job.spec.shard_size,
        labelled=job.spec.kind == "extract",
        reading=source.reading,
        rates={} if is_zero_shot(job.spec) else ledger.rates(gpu_queue(job.spec.model)),
    )
    store, key = open_parent(source.url)
    if store.etag(key) != source.etag:
        raise Changed(f"{source.url} has changed since the job was submitted; submit it again")
    return plan


def find_artifact(ledger: Ledger, artifact: str) -> str:
    """The address of an artifact: as given, or `NAME` (its newest version) or `NAME/VERSION` in
    the workspace. Raises ArtifactNotFound."""
    if artifact.startswith("s3://"):
        return artifact
    if answers((Path(artifact) / "manifest.json").is_file):
        return str(Path(artifact).resolve())
    name, _, version = artifact.partition("/")
    inside = NAME.fullmatch(name) and NAME.fullmatch(version)
    if inside and ledger.store.exists(f"artifacts/{artifact}/manifest.json"):
        return ledger.artifact_url(name, version)
    made = [] if version or not NAME.fullmatch(name) else _versions(ledger, name)
    if not made:
        raise ArtifactNotFound(
            f"no artifact {artifact!r}: it is neither a folder with a manifest.json nor a name in "
            f"{join(ledger.workspace, 'artifacts')}"
        )
    return ledger.artifact_url(name, made[-1])


def _versions(ledger: Ledger, name: str) -> list[str]:
    """The versions of an artifact in the workspace, the newest last."""
    found = []
    for version in ledger.store.folders(f"artifacts/{name}"):
        try:
            manifest = json.loads(ledger.store.read(f"artifacts/{name}/{version}/manifest.json"))
            found.append((datetime.fromisoformat(manifest["created"]), version))
        except NotFound:
            continue  # it is being made
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise ArtifactNotFound(
                f"artifacts/{name}/{version}/manifest.json is not an artifact's"
            ) from error
    return [version for _, version in sorted(found)]


def artifact_model(url: str) -> str:
    """The model that made the artifact at `url`."""
    try:
        manifest = json.loads(open_store(url).read("manifest.json"))
        return str(manifest["origin"]["model"]["id"])
    except NotFound as error:
        raise ArtifactNotFound(f"no artifact at {url}") from error
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise ArtifactNotFound(f"{url}/manifest.json is not an artifact's") from error


def check_model(model: str) -> None:
    """Raises ModelNotFound where `model` can be no checkpoint. Loads nothing and asks no network."""
    from savs.models import ALIASES, is_hub_id

    if not (model in ALIASES or answers((Path(model) / "config.json").is_file) or is_hub_id(model)):
        raise ModelNotFound(
            f"--model: {model!r} is no folder with a config.json, no hub id (owner/name), "
            f"and none of: {', '.join(ALIASES)}"
        )

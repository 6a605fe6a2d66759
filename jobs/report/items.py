"""Rows as the gallery shows them: with question, pictures, and what other jobs say."""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Any

from jobs.ledger.checked_rows import checked_rows
from jobs.ledger.ledger import Ledger
from jobs.records.job import Job
from jobs.report.gallery import SCORES, Chosen, doubt_of, is_wrong
from jobs.report.texts import shorten
from jobs.report.thumbnails import Picture
from jobs.shards.allowed_roots import Roots
from jobs.shards.rows import read_samples
from savs.artifact.artifact import Artifact
from savs.data.media import base_name
from savs.data.samples import Sample
from savs.errors import ForbiddenMedia, SavsError


@dataclass(frozen=True)
class Item:
    """A row, or a training example, and what is shown with it.

    fields   for the page: see `report.js`
    media    addresses that may be read
    refused  why they may not
    """

    fields: Mapping[str, Any]
    media: tuple[str, ...]
    refused: str | None = None

    def shown(self, pictures: Sequence[Picture]) -> dict[str, Any]:
        """Return the fields with the pictures of the media."""
        names = self.fields["media"]
        if self.refused is not None:
            pictures = [Picture(reason=self.refused) for _ in names]
        both = zip(names, pictures, strict=False)
        return {
            **self.fields,
            "media": [{"name": name, "pictures": one.pictures, "reason": one.reason} for name, one in both],
        }


def items_of(
    ledger: Ledger,
    job: Job,
    chosen: Sequence[Chosen],
    roots: Roots,
    others: Sequence[Job],
    artifact: Artifact | None,
) -> list[Item]:
    """Return the items of chosen rows, in their order. The manifest is read again for questions, and for
    media inside of tars and tables; if it has changed, the rows have neither."""
    samples = _samples(ledger, job, [one.row["index"] for one in chosen], roots)
    asked = _question(job, artifact)
    said = [
        _said_by(ledger, other, samples.keys() | {one.row["index"] for one in chosen}) for other in others
    ]
    found = []
    for one in chosen:
        row, sample = one.row, samples.get(one.row["index"])
        media = tuple(row.get("media", ())) if sample is None else sample.media
        question = asked if sample is None or sample.question is None else sample.question
        fields = _fields(row) | {
            "why": one.why,
            "question": shorten(question),
            "others": [_shown(answers.get(row["index"])) for answers in said],
        }
        found.append(_item(fields, media, roots))
    return found


def examples_of(artifact: Artifact, roots: Roots) -> list[Item]:
    """Return the training examples that the others contradict, the most certain first."""
    manifest, stored = artifact.manifest, artifact.examples
    found = []
    for suspect in manifest.suspects:
        row = manifest.training[suspect.row]
        shown = None if stored is None else stored.shown[suspect.row]
        fields = {
            "training": suspect.row,
            "id": shorten(row.id),
            "label": _shown(row.label),
            "prediction": shorten(suspect.likelier),
            "wrong": True,
            "confidence": suspect.probability,
            "question": shorten(
                manifest.question if shown is None or shown.question is None else shown.question
            ),
            "others": [],
        }
        found.append(_item(fields, () if shown is None else shown.media, roots))
    return found


def with_likelier(items: Iterable[Item], likely: Mapping[int, str]) -> list[Item]:
    """Return items with the class that their row is confidently of."""
    return [
        replace(one, fields={**one.fields, "likelier": shorten(likely.get(one.fields["index"]))})
        for one in items
    ]


def _item(fields: Mapping[str, Any], media: tuple[str, ...], roots: Roots) -> Item:
    fields = {**fields, "media": [shorten(base_name(address)) for address in media]}
    sample = Sample(media=media)
    try:
        roots.check_media(sample)
    except ForbiddenMedia as error:
        return Item(fields, (), str(error))
    return Item(fields, roots.confine(sample).media)


def _fields(row: Mapping[str, Any]) -> dict[str, Any]:
    ranked, votes = _highest(row.get("scores") or {}), _highest(row.get("votes") or {})
    error = row.get("error")
    found = {
        name: _shown(row[name])
        for name in (
            "index",
            "id",
            "task",
            "prediction",
            "predictions",
            "confidence",
            "margin",
            "label",
            "notes",
        )
        if name in row
    }
    return found | {
        "error": None if error is None else shorten(f"{error['kind']}: {error['message']}"),
        "scores": [] if votes else ranked,
        "votes": votes,
        "wrong": is_wrong(row),
        "doubt": round(doubt_of(row), 4),
    }


def _highest(values: Mapping[str, float]) -> list[tuple[str, float]]:
    ranked = sorted(values.items(), key=lambda pair: -pair[1])
    return [(shorten(name), value) for name, value in ranked[:SCORES]]


def _shown(value: Any) -> Any:
    """Return a value of a row, with its text or its texts cut."""
    return [shorten(one) for one in value] if isinstance(value, list | tuple) else shorten(value)


def _question(job: Job, artifact: Artifact | None) -> str | None:
    zero_shot = getattr(job.spec, "zero_shot", None)
    if zero_shot is not None:
        return zero_shot.question or job.spec.source.question
    return None if artifact is None else artifact.manifest.question


def _samples(ledger: Ledger, job: Job, indices: Iterable[int], roots: Roots) -> dict[int, Sample]:
    """Return the samples of rows by index, of those that can still be read."""
    plan = ledger.planned(job.job_id).plan
    found: dict[int, Sample] = {}
    for number, wanted in groupby(sorted(indices), lambda index: index // plan.shard_rows):
        with suppress(SavsError):
            found |= read_samples(job, plan.shard(number), set(wanted), roots)
    return found


def _said_by(ledger: Ledger, job: Job, indices: Iterable[int]) -> dict[int, Any]:
    """Return what another job predicted for rows, by index."""
    wanted = set(indices)
    found: dict[int, Any] = {}
    for row in checked_rows(ledger, job):
        if row["index"] in wanted:
            found[row["index"]] = row.get("predictions", row.get("prediction"))
    return found

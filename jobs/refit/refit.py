"""Fits an artifact again from the vectors of its examples: other labels, fewer classes, another readout.
Neither a model nor a GPU is needed, unless there are new examples."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from jobs.ledger.ledger import Ledger
from jobs.ledger.pilots import pilot_vectors
from jobs.records.job import HASH_DIGITS, ExtractSpec, PilotSpec, PromptOptions, Source, is_pilot
from jobs.shards.reuse import Reused, find_stored
from savs.data.labels import Label, labels_in
from savs.data.samples import Sample, read_samples
from savs.errors import SettingsError
from savs.readout.records import MULTI

if TYPE_CHECKING:
    from savs.artifact.artifact import Artifact
    from savs.artifact.training_row import TrainingRow
    from savs.engine.vectors import HeadVectors
    from savs.readout.choice import Asked
    from savs.readout.classify import AnyReadout


REFIT = ".refit-"  # in a version, between that of the artifact and the hash of the changes


@dataclass(frozen=True)
class Changes:
    """What is to be different from the artifact.

    train    examples in place of the stored ones, or None
    merged   addresses of other artifacts whose examples are added
    heads    None: as many as before
    readout  None: as asked for before
    dropped  classes to leave out
    """

    train: Source | None = None
    merged: tuple[str, ...] = ()
    heads: int | None = None
    readout: "Asked | None" = None
    dropped: tuple[str, ...] = ()


@dataclass(frozen=True)
class Refit:
    """The address of the new artifact, and how many of its examples have another label than before."""

    url: str
    relabelled: int


@dataclass(frozen=True)
class NewExamples:
    """Examples that are not stored: the model has to read them first.

    known           how many are stored
    heads, readout  what to fit then, as in `Changes`
    prompt          how the stored examples were shown
    """

    samples: tuple[Sample, ...]
    known: int
    heads: int | None
    readout: "Asked"
    prompt: PromptOptions


@dataclass(frozen=True)
class _Examples:
    rows: "list[TrainingRow]"
    numbers: list[int]  # among the stored ones
    labels: "list[Label]"


def refit(ledger: Ledger, url: str, changes: Changes) -> Refit | NewExamples:
    """Write a new version of the artifact at `url` and return it; or return the examples of `changes.train`
    that no artifact has stored, and write nothing.

    An artifact that is already what is asked for is returned, so repeating it changes nothing. Raises
    ArtifactError, SettingsError, ManifestError, and FitError if the examples cannot be fitted.
    """
    from savs.artifact.artifact import StoredExamples, load_examples, make_artifact, save_artifact
    from savs.readout.choice import fit_readout

    base = load_examples(url)
    others = [load_examples(one) for one in changes.merged]
    for other in others:
        if other.manifest.origin != base.manifest.origin:
            raise SettingsError(
                f"--with: {other.manifest.name!r} was made with another model, or shows items in another "
                f"way, than {base.manifest.name!r}; their examples cannot be fitted together"
            )
        lists = [one.manifest.name for one in (base, other) if one.readout.mode == MULTI]
        if changes.train is None and len(lists) == 1:
            raise SettingsError(
                f"--with: the labels of {lists[0]!r} are lists, and those of the other artifact are not; "
                "refit one of them with --train first, so that both are lists or neither"
            )
    stored = _joined([base, *others])
    asked = changes.readout or asked_of(base)
    heads = changes.heads or heads_of(base, asked)
    if changes.train is None:
        chosen = _all_of(stored)
    else:
        samples = _read(changes.train)
        found = find_stored([stored], samples)
        if missing := [sample for sample in samples if sample.index not in found]:
            return NewExamples(tuple(missing), len(found), heads, asked, _prompt(ledger, base))
        chosen = _of_samples(stored, samples, found)
    chosen = _without(chosen, changes.dropped)
    assert stored.examples is not None
    vectors = stored.examples.vectors[chosen.numbers]
    shown = tuple(stored.examples.shown[number] for number in chosen.numbers)
    fitted = fit_readout(vectors, chosen.labels, asked, heads, None, corpus_of(ledger, base))
    unchanged = tuple(chosen.rows) == base.manifest.training and fitted.choice == base.manifest.choice
    if unchanged and _same(fitted.readout, base.readout):
        return Refit(url, 0)
    version = _version(base, changes)
    questions = {one.question for one in shown}
    artifact = make_artifact(
        name=base.manifest.name,
        artifact_version=version,
        readout=fitted.readout,
        origin=base.manifest.origin,
        question=questions.pop() if len(questions) == 1 else None,
        training=chosen.rows,
        created=datetime.now(UTC),
        fitted=fitted,
        examples=StoredExamples(vectors, shown),
    )
    where = ledger.artifact_url(base.manifest.name, version)
    save_artifact(artifact, where)
    before = {(row.sha256, row.question_sha256): row.label for row in stored.manifest.training}
    relabelled = sum(
        set(labels_in(before[row.sha256, row.question_sha256])).difference(changes.dropped)
        != set(labels_in(row.label))
        for row in chosen.rows
    )
    return Refit(where, relabelled)


def _joined(artifacts: "Sequence[Artifact]") -> "Artifact":
    """Return the first artifact with the examples of all."""
    from savs.artifact.artifact import StoredExamples
    from savs.engine.vectors import HeadVectors

    parts = [one.examples for one in artifacts if one.examples is not None]
    joined = StoredExamples(
        HeadVectors.concat([part.vectors for part in parts]),
        tuple(one for part in parts for one in part.shown),
    )
    training = tuple(row for one in artifacts for row in one.manifest.training)
    manifest = artifacts[0].manifest.model_copy(update={"training": training})
    return replace(artifacts[0], manifest=manifest, examples=joined)


def _read(source: Source) -> list[Sample]:
    return read_samples(
        source.url,
        labelled=True,
        format=source.format,
        media_root=source.media_root,
        strip_prefix=source.strip_prefix,
        question=source.question,
    )


def _all_of(stored: "Artifact") -> _Examples:
    rows = list(stored.manifest.training)
    return _Examples(rows, list(range(len(rows))), [row.label for row in rows])


def _of_samples(stored: "Artifact", samples: Sequence[Sample], found: "Mapping[int, Reused]") -> _Examples:
    """Return the stored examples that `samples` show, with the samples' ids and labels."""
    numbers = [found[sample.index].number for sample in samples]
    labels = ["" if sample.label is None else sample.label for sample in samples]
    rows = [
        stored.manifest.training[number].model_copy(update={"id": sample.id, "label": label})
        for number, sample, label in zip(numbers, samples, labels, strict=True)
    ]
    return _Examples(rows, numbers, labels)


def _without(chosen: _Examples, dropped: Sequence[str]) -> _Examples:
    """Return the examples without some classes: one whose label is a list stays, with the labels that are
    left."""
    names = dict.fromkeys(name for label in chosen.labels for name in labels_in(label))
    if unknown := sorted(set(dropped) - set(names)):
        known = ", ".join(map(repr, names))
        raise SettingsError(f"--drop-class: {unknown[0]!r} is not a class; the classes are {known}")
    if any(isinstance(label, tuple) for label in chosen.labels):
        left: list[Label] = [
            tuple(name for name in labels_in(label) if name not in dropped) for label in chosen.labels
        ]
        rows = [row.model_copy(update={"label": own}) for row, own in zip(chosen.rows, left, strict=True)]
        return _Examples(rows, chosen.numbers, left)
    kept = [place for place, label in enumerate(chosen.labels) if label not in dropped]
    return _Examples(
        [chosen.rows[place] for place in kept],
        [chosen.numbers[place] for place in kept],
        [chosen.labels[place] for place in kept],
    )


def asked_of(base: "Artifact") -> "Asked":
    from savs.readout.choice import READOUTS

    asked = base.manifest.choice.asked if base.manifest.choice is not None else "auto"
    return next((one for one in READOUTS if one == asked), "auto")


def heads_of(base: "Artifact", asked: str) -> int | None:
    """Return how many heads the artifact was limited to; None for the readout's default."""
    limited = len(base.readout.heads) < len(base.readout.layout.heads())
    limited_by_default = {"reference", "hec"}  # of these each has its own number, others share theirs
    same = base.readout.mode == asked or not limited_by_default & {base.readout.mode, asked}
    return len(base.readout.heads) if limited and same else None


def _prompt(ledger: Ledger, base: "Artifact") -> PromptOptions:
    """Return how the examples were shown, if the job that read them is in the workspace."""
    job_id = base.manifest.version.partition(REFIT)[0]
    if is_pilot(job_id) and ledger.is_there(job_id):
        pilot = ledger.job(job_id).spec
        assert isinstance(pilot, PilotSpec)
        job_id = pilot.artifact.rstrip("/").rpartition("/")[2].partition(REFIT)[0]
    spec = ledger.job(job_id).spec if ledger.is_there(job_id) else None
    return spec.prompt if isinstance(spec, ExtractSpec) else PromptOptions()


def _same(one: "AnyReadout", other: "AnyReadout") -> bool:
    """Return whether two readouts on the same examples are the same, but for their vectors' rounding."""
    return (one.mode, one.classes, one.heads.tolist()) == (other.mode, other.classes, other.heads.tolist())


def corpus_of(ledger: Ledger, base: "Artifact") -> "HeadVectors | None":
    """Return the vectors of the pilot that the artifact learned from, if the workspace has them."""
    version = base.manifest.version.partition(REFIT)[0]
    if not is_pilot(version) or not ledger.is_there(version):
        return None
    return pilot_vectors(ledger, version)[1]


def _version(base: "Artifact", changes: Changes) -> str:
    described = {
        "train": None if changes.train is None else changes.train.model_dump(),
        "merged": changes.merged,
        "heads": changes.heads,
        "readout": changes.readout,
        "dropped": sorted(changes.dropped),
    }
    data = json.dumps([base.manifest.version, described], sort_keys=True).encode()
    begin = base.manifest.version.partition(REFIT)[0]
    return f"{begin}{REFIT}{hashlib.sha256(data).hexdigest()[:HASH_DIGITS]}"

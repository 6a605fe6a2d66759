"""Fits an artifact again with corrected rows of a corpus that it has labelled, and with corrected examples.
Neither a model nor a GPU is needed."""

import hashlib
import json
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from jobs.ledger.artifacts import located
from jobs.ledger.corpus_vectors import CorpusVectors, corpus_vectors
from jobs.ledger.ledger import Ledger
from jobs.records.job import HASH_DIGITS, ClassifySpec, Job
from jobs.records.row import ExampleRow
from jobs.refit.corrections import Correction, Corrections, corrections_of
from jobs.refit.examples import corrected_examples
from jobs.refit.refit import REFIT, asked_of, corpus_of, heads_of
from savs.data.labels import Label, labels_in
from savs.data.media import Digest, hash_media
from savs.errors import ItemError, LedgerError, SettingsError
from savs.readout.decision import Decision, Rule, rule_of
from savs.readout.records import MULTI

if TYPE_CHECKING:
    from collections.abc import Iterable

    import numpy as np

    from savs.artifact.artifact import Artifact
    from savs.artifact.training_row import TrainingRow
    from savs.engine.vectors import HeadVectors
    from savs.readout.classify import AnyReadout


@dataclass
class Relabelled:
    """What corrections have changed.

    url                 of the new artifact
    added               corrected rows that it was fitted on, too
    corrected, dropped  examples that have another label now, and that are no examples any more
    elsewhere           corrections of other tasks, which were left alone
    again               whether the corpus was labelled again; if not, the rest is 0
    rows                that were labelled again; `without` have no kept vectors and stay as they are, and so
                        do the `unusable`
    flips               (label before, label after) → rows
    right, known        rows whose label was known and not corrected: right before and after, and all
    """

    url: str
    added: int
    corrected: int
    dropped: int
    elsewhere: int
    again: bool
    rows: int = 0
    without: int = 0
    unusable: int = 0
    flips: Counter[tuple[str, str]] = field(default_factory=Counter)
    right: tuple[int, int] = (0, 0)
    known: int = 0


@dataclass(frozen=True)
class Refitted:
    """An artifact that was fitted again, and by what its answers become predictions.

    vectors  of the corpus; None if those of all heads were not kept
    """

    artifact: "Artifact"
    rule: Rule
    corrections: Corrections
    vectors: CorpusVectors | None
    found: Relabelled


def fit_corrected(ledger: Ledger, job: Job, given: "Iterable[Correction]") -> Refitted:
    """Write the artifact of a classify job's examples and of its corrected rows, and return it. The same
    corrections make the same version.

    Raises LedgerError if rows are corrected and the job kept no vectors; SettingsError if these are not of
    all heads, a correction is of no row, or the job has no examples; and FitError.
    """
    from savs.artifact.artifact import (
        ExampleMedia,
        StoredExamples,
        load_examples,
        make_artifact,
        save_artifact,
    )
    from savs.engine.vectors import HeadVectors
    from savs.readout.choice import fit_readout

    spec = located(ledger, job).spec
    assert isinstance(spec, ClassifySpec)
    if spec.artifact is None:
        raise SettingsError(
            f"job {job.job_id} is zero-shot and has no examples that could be corrected; write the right "
            "labels into a training file, and label the corpus with: savs-submit run --train FILE"
        )
    base = load_examples(spec.artifact)
    assert base.examples is not None
    corrections = corrections_of(given, {*tasks_of(job), base.manifest.name})
    layout = base.examples.vectors.layout
    kept = _kept(ledger, job, corrections, layout)
    rows, vectors = ([], None) if kept is None else _corrected(kept, corrections, base)
    examples = corrected_examples(base, corrections.training)
    training = (*examples.rows, *(_training_row(row, label) for row, label in rows))
    joined = base.examples.vectors[examples.numbers]
    if vectors is not None:
        joined = HeadVectors.concat([joined, HeadVectors(layout, vectors)])
    labels, asked, corpus = [row.label for row in training], asked_of(base), corpus_of(ledger, base)
    fitted = fit_readout(joined, labels, asked, heads_of(base, asked), None, corpus)
    rule = _rule(spec.decision, labels, fitted.readout, corpus)
    questions = {row.question for row, _ in rows}
    shown = [base.examples.shown[number] for number in examples.numbers]
    shown += [ExampleMedia(media=row.media, question=row.question) for row, _ in rows]
    version = f"{base.manifest.version.partition(REFIT)[0]}{REFIT}{_mark(base, job, rows, corrections)}"
    artifact = make_artifact(
        name=base.manifest.name,
        artifact_version=version,
        readout=fitted.readout,
        origin=base.manifest.origin,
        question=base.manifest.question if questions <= {base.manifest.question} else None,
        training=training,
        created=datetime.now(UTC),
        fitted=fitted,
        examples=StoredExamples(joined, tuple(shown)),
    )
    url = ledger.artifact_url(base.manifest.name, version)
    save_artifact(artifact, url)
    found = Relabelled(
        url, len(rows), examples.corrected, examples.dropped, corrections.elsewhere, kept is not None
    )
    return Refitted(artifact, rule, corrections, kept, found)


def tasks_of(job: Job) -> set[str]:
    """Return by which names corrections may call the task of a job."""
    return {job.spec.name, job.spec.split or job.spec.name, job.job_id}


def _kept(ledger: Ledger, job: Job, corrections: Corrections, layout: object) -> CorpusVectors | None:
    """Return the kept vectors; None if they are not there, or not of all heads, and only examples are
    corrected."""
    try:
        kept = corpus_vectors(ledger, job.job_id)
    except LedgerError:
        spec = job.spec
        if len(corrections) or (isinstance(spec, ClassifySpec) and spec.keep_vectors is not None):
            raise
        return None
    if kept.layout in (None, layout):
        return kept
    if not len(corrections):
        return None
    raise SettingsError(
        f"job {kept.job_id} kept only the heads of its readout; label the corpus with --keep-vectors all"
    )


def _rule(
    decision: Decision, labels: Sequence[Label], readout: "AnyReadout", corpus: "HeadVectors | None"
) -> Rule:
    """Return the rule of the job's decision, for the new readout and its examples."""
    from savs.readout.classify import values_of

    if readout.mode == MULTI:
        return Rule()
    counts = Counter(name for label in labels for name in labels_in(label))
    values = None if corpus is None or not decision.needs_corpus else values_of(readout, corpus)
    examples = {name: counts[name] for name in readout.classes}
    return rule_of(decision, examples, values, readout.mode == "reference")


def _mark(
    base: "Artifact", job: Job, rows: "Sequence[tuple[ExampleRow, Label]]", corrections: Corrections
) -> str:
    said: list[object] = [
        base.manifest.version,
        job.job_id,
        [[row.index, row.id, label] for row, label in rows],
    ]
    if corrections.training:
        said.append([[number, one.label] for number, one in sorted(corrections.training.items())])
    return hashlib.sha256(json.dumps(said).encode()).hexdigest()[:HASH_DIGITS]


def _corrected(
    kept: CorpusVectors, corrections: Corrections, base: "Artifact"
) -> "tuple[list[tuple[ExampleRow, Label]], np.ndarray | None]":
    """Return the rows with a corrected label, with that label, and their vectors; None without any."""
    import numpy as np

    found: list[tuple[ExampleRow, Label]] = []
    seen: dict[str, int] = {}  # id by which a correction names its row → index of the row
    vectors = []
    for rows, part in kept:
        for row, vector in zip(rows, part.values, strict=True):
            correction = corrections.of_row(row.index, row.id)
            if correction is None:
                continue
            if correction.index is None and (other := seen.setdefault(row.id, row.index)) != row.index:
                raise SettingsError(
                    f"{correction.where}: rows {other} and {row.index} have the id {row.id!r:.60}; give "
                    "'index'"
                )
            if correction.label is not None:
                found.append((row, _of_kind(correction.label, base, row)))
                vectors.append(vector)
    indices = {row.index for row, _ in found}
    lost = [str(n) for n, one in corrections.by_index.items() if one.label is not None and n not in indices]
    lost += [id for id, one in corrections.by_id.items() if one.label is not None and id not in seen]
    if lost:
        raise SettingsError(
            f"{len(lost)} corrections are of no row with kept vectors, for example {lost[0]!r:.60}; rows "
            "that failed have none"
        )
    return found, np.stack(vectors) if vectors else None


def _of_kind(label: Label, base: "Artifact", row: ExampleRow) -> Label:
    if base.readout.mode == MULTI:
        return label if isinstance(label, tuple) else (label,)
    if isinstance(label, tuple):
        raise SettingsError(
            f"the correction of row {row.index} is a list of labels, and {base.manifest.name!r} gives each "
            "item one"
        )
    return label


def _training_row(row: ExampleRow, label: Label) -> "TrainingRow":
    from savs.artifact.training_row import training_row

    digests: tuple[Digest, ...] = ()
    # Of media that are gone, or in a container, the row is not recognised as an example.
    with suppress(ItemError):
        digests = tuple(map(hash_media, row.media))
    return training_row(row.id, label, row.question or "", row.media, digests)

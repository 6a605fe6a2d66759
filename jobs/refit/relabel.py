"""Labels a corpus again from its kept vectors, with an artifact that has also learned from corrected rows.
Neither a model nor a GPU is needed."""

import hashlib
import json
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from jobs.ledger.artifacts import located
from jobs.ledger.corpus_vectors import CorpusVectors, corpus_vectors
from jobs.ledger.ledger import Ledger
from jobs.ledger.results import result_rows
from jobs.records.job import HASH_DIGITS, ClassifySpec, Job
from jobs.records.row import ExampleRow
from jobs.refit.corrections import Corrections
from jobs.refit.refit import REFIT, asked_of, corpus_of, heads_of
from savs.data.labels import Label
from savs.data.media import Digest, hash_media
from savs.errors import ItemError, SettingsError
from savs.readout.decision import Decision
from savs.readout.records import MULTI

if TYPE_CHECKING:
    import numpy as np

    from savs.artifact.artifact import Artifact
    from savs.artifact.training_row import TrainingRow

Row = dict[str, Any]


@dataclass
class Relabelled:
    """What labelling a corpus again has changed.

    url            of the new artifact
    added          corrected rows that it was fitted on, too
    rows           that were labelled again; `without` have no kept vectors and stay as they are
    flips          (label before, label after) → rows
    right, known   rows whose label was known and not corrected: right before and after, and all
    """

    url: str
    added: int
    rows: int = 0
    without: int = 0
    flips: Counter[tuple[str, str]] = field(default_factory=Counter)
    right: tuple[int, int] = (0, 0)
    known: int = 0


def fit_corrected(ledger: Ledger, job: Job, corrections: Corrections) -> "tuple[Artifact, Relabelled]":
    """Write the artifact of a classify job's examples and of its corrected rows, and return it. The same
    corrections make the same version.

    Raises LedgerError if the job kept no vectors, SettingsError if they are not of all heads or a correction
    is of no row, and FitError.
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
    _check_decision(spec.decision)
    kept = corpus_vectors(ledger, job.job_id)
    assert spec.artifact is not None  # of a job that kept vectors
    base = load_examples(spec.artifact)
    assert base.examples is not None
    rows, vectors = _corrected(kept, corrections, base)
    training = (*base.manifest.training, *(_training_row(row, label) for row, label in rows))
    joined = HeadVectors.concat([base.examples.vectors, HeadVectors(base.examples.vectors.layout, vectors)])
    asked = asked_of(base)
    fitted = fit_readout(
        joined, [row.label for row in training], asked, heads_of(base, asked), None, corpus_of(ledger, base)
    )
    questions = {row.question for row, _ in rows}
    shown = tuple(ExampleMedia(media=row.media, question=row.question) for row, _ in rows)
    said = [[row.index, row.id, label] for row, label in rows]
    mark = hashlib.sha256(json.dumps([base.manifest.version, job.job_id, said]).encode()).hexdigest()
    version = f"{base.manifest.version.partition(REFIT)[0]}{REFIT}{mark[:HASH_DIGITS]}"
    artifact = make_artifact(
        name=base.manifest.name,
        artifact_version=version,
        readout=fitted.readout,
        origin=base.manifest.origin,
        question=base.manifest.question if questions == {base.manifest.question} else None,
        training=training,
        created=datetime.now(UTC),
        fitted=fitted,
        examples=StoredExamples(joined, (*base.examples.shown, *shown)),
    )
    url = ledger.artifact_url(base.manifest.name, version)
    save_artifact(artifact, url)
    return artifact, Relabelled(url, len(rows))


def _check_decision(decision: Decision) -> None:
    if decision != Decision(abstain_below=decision.abstain_below):
        raise SettingsError(
            "a corpus that was labelled with --target-precision or --prior cannot be labelled again from its "
            "vectors yet; refit the artifact, and classify with it"
        )


def _corrected(
    kept: CorpusVectors, corrections: Corrections, base: "Artifact"
) -> "tuple[list[tuple[ExampleRow, Label]], np.ndarray]":
    """Return the corrected rows with their labels, and their vectors."""
    import numpy as np

    assert base.examples is not None
    layout = base.examples.vectors.layout
    found: list[tuple[ExampleRow, Label]] = []
    vectors = []
    for rows, part in kept:
        if part.layout != layout:
            raise SettingsError(
                f"job {kept.job_id} kept only the heads of its readout; label the corpus with "
                "--keep-vectors all"
            )
        for row, vector in zip(rows, part.values, strict=True):
            label = corrections.label_of(row.index, row.id)
            if label is not None:
                found.append((row, _of_kind(label, base, row)))
                vectors.append(vector)
    if len(found) < len(corrections):
        indices, ids = {row.index for row, _ in found}, {row.id for row, _ in found}
        lost = [str(one) for one in corrections.by_index if one not in indices]
        lost += [one for one in corrections.by_id if one not in ids]
        if lost:
            raise SettingsError(
                f"{len(lost)} corrections are of no row with kept vectors, for example {lost[0]!r}; rows "
                "that failed have none"
            )
    return found, np.stack(vectors)


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
    with suppress(
        ItemError
    ):  # media that are gone, or in a container: the row is not recognised as an example
        digests = tuple(map(hash_media, row.media))
    return training_row(row.id, label, row.question or "", row.media, digests)


def relabelled_rows(
    ledger: Ledger, job: Job, artifact: "Artifact", corrections: Corrections, found: Relabelled
) -> Iterator[Row]:
    """Yield the rows of a classify job with the labels of `artifact`, in the order of the corpus, and fill in
    `found`. Rows without vectors stay as they are."""
    from savs.readout.classify import classify

    assert isinstance(job.spec, ClassifySpec)
    least = job.spec.decision.abstain_below or 0.0
    vectors = iter(corpus_vectors(ledger, job.job_id))
    answers: dict[int, Any] = {}
    last = -1  # row of the part that was read last; both are in the order of the corpus
    for line in result_rows(ledger, job.job_id):
        row: Row = json.loads(line)
        while last < row["index"] and (part := next(vectors, None)) is not None:
            said = classify(artifact.readout, part[1])
            answers = {one.index: answer for one, answer in zip(part[0], said, strict=True)}
            last = part[0][-1].index
        answer = answers.get(row["index"])
        if answer is None:
            found.without += 1
            yield row
            continue
        after = row | _fields(answer, least) | {"artifact": artifact.digest}
        _count(found, row, after, corrections)
        yield after


def _fields(answer: Any, least: float) -> Row:
    from savs.readout.answer import MultiAnswer

    scores = {name: rounded for name, share in answer.scores.items() if (rounded := round(share, 6))}
    if isinstance(answer, MultiAnswer):
        return {"predictions": [*answer.predictions], "scores": scores}
    return {
        "prediction": answer.prediction if answer.confidence >= least else None,
        "votes": {name: count for name, count in answer.votes.items() if count},
        "confidence": round(answer.confidence, 6),
        "margin": None if answer.margin is None else round(answer.margin, 6),
        "entropy": None if answer.entropy is None else round(answer.entropy, 6),
        "scores": scores or None,
    }


def _count(found: Relabelled, before: Row, after: Row, corrections: Corrections) -> None:
    found.rows += 1
    old, new = _said(before), _said(after)
    if old != new:
        found.flips[old, new] += 1
    label = before.get("label")
    if label is not None and corrections.label_of(before["index"], before["id"]) is None:
        known = ", ".join(sorted(label)) if isinstance(label, list) else label
        found.known += 1
        found.right = found.right[0] + (old == known), found.right[1] + (new == known)


def _said(row: Row) -> str:
    if "predictions" in row:
        return ", ".join(sorted(row["predictions"]))
    return row["prediction"] if row["prediction"] is not None else "(no prediction)"

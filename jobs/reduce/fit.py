"""Fits the artifacts of extract jobs and of pilots, from what their shards have stored."""

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from jobs.ledger.ledger import Ledger
from jobs.ledger.pilots import pilot_vectors, write_answers
from jobs.ledger.results import examples
from jobs.records.job import ExtractSpec, Job, PilotSpec
from jobs.records.row import ExampleRow
from savs.data.labels import Label, labels_in
from savs.errors import FitError, LedgerError, SettingsError, why_invalid
from savs.readout.decision import Decision, Rule, check_decision_of_lists, rule_of
from savs.readout.records import MULTI

if TYPE_CHECKING:
    from savs.artifact.artifact import Artifact
    from savs.artifact.training_row import TrainingRow
    from savs.readout.choice import Fitted

LABELS_SHOWN = 5  # that a warning names


def fit_examples(ledger: Ledger, job: Job, spec: ExtractSpec) -> dict[str, Any]:
    """Fit and store the artifact of an extract job. Return the fields that this adds to the summary."""
    from savs.artifact.artifact import ExampleMedia, StoredExamples, make_artifact, save_artifact
    from savs.artifact.manifest import Origin
    from savs.artifact.training_row import training_row
    from savs.engine.vectors import HeadVectors
    from savs.readout.choice import fit_readout

    rows, values, described = examples(ledger, job)
    try:
        origin = Origin.model_validate_json(described)
    except ValueError as error:
        why = why_invalid(error, Origin.model_fields)
        raise LedgerError(f"job {job.job_id}: the origin of its vectors is not usable: {why}") from error
    layout = origin.head_layout()
    good = [row for row in rows if row.error is None]
    labels = [_label(row) for row in good]
    classes = list(dict.fromkeys(name for row in rows for name in labels_in(_label(row))))
    try:
        vectors = HeadVectors(layout, values.reshape(-1, layout.width))
        fitted = fit_readout(vectors, labels, spec.readout, spec.heads, classes)
    except FitError as error:
        lost = f" ({len(rows) - len(good)} examples could not be read)" if len(good) < len(rows) else ""
        return {"status": "failed", "reason": f"{error}{lost}"}
    questions = {row.question for row in rows}
    training = [
        training_row(row.id, label, row.question or "", row.media, row.digests)
        for row, label in zip(good, labels, strict=True)
    ]
    shown = tuple(ExampleMedia(media=row.media, question=row.question) for row in good)
    artifact = make_artifact(
        name=spec.name,
        artifact_version=job.job_id,
        readout=fitted.readout,
        origin=origin,
        question=questions.pop() if len(questions) == 1 else None,
        training=training,
        created=job.submitted,
        fitted=fitted,
        examples=StoredExamples(vectors, shown),
    )
    url = ledger.artifact_url(spec.name, job.job_id)
    save_artifact(artifact, url)
    count = len(rows) - len(good)
    warnings = [f"{count} of {len(rows)} examples could not be read and were left out"] if count else []
    return _described(url, artifact, fitted) | {"warnings": [*warnings, *_copies(training)]}


def _copies(training: "Sequence[TrainingRow]") -> list[str]:
    """Return warnings of examples that show what another one shows, by the bytes of their media and their
    question. Before the model is run, only their addresses can be compared (`jobs.plans.label_checks`)."""
    first: dict[tuple[Any, ...], TrainingRow] = {}
    copies: list[tuple[TrainingRow, TrainingRow]] = []
    others: list[tuple[TrainingRow, TrainingRow]] = []
    for row in training:
        if row.question_sha256 is None or not row.sha256:
            continue
        seen = first.setdefault((row.sha256, row.question_sha256), row)
        if seen is not row:
            same = set(labels_in(seen.label)) == set(labels_in(row.label))
            (copies if same else others).append((seen, row))
    warnings = []
    if others:
        one, other = others[0]
        warnings.append(
            f"examples that show the same as another one, with another label: {len(others)}, for example "
            f"{other.id!r} ({other.label!r}) and {one.id!r} ({one.label!r}); correct and refit them"
        )
    if copies:
        one, other = copies[0]
        warnings.append(
            f"examples that are copies of another one, and count twice: {len(copies)}, for example "
            f"{other.id!r} of {one.id!r}"
        )
    return warnings


def _label(row: ExampleRow) -> Label:
    if row.label is None:
        raise LedgerError(f"the example {row.id!r} has no label")
    return row.label


def _described(url: str, artifact: "Artifact", fitted: "Fitted") -> dict[str, Any]:
    """Return the fields of a summary that say what was fitted."""
    readout, choice = artifact.readout, fitted.choice
    table = [score.model_dump() for score in choice.table]
    fields = {
        "artifact": url,
        "readout": {"chosen": choice.chosen, "why": choice.why, "table": table},
        "suspects": len(fitted.suspects),
    }
    if choice.chosen != "reference":
        return fields
    return fields | {"heads": [[int(layer), int(head)] for layer, head in readout.heads]}


def fit_with_corpus(ledger: Ledger, job: Job) -> dict[str, Any]:
    """Fit the artifact of a pilot: that of its examples, which also learns from its rows. Store it, and the
    answers to these rows. Return the fields that this adds to the summary.

    A corpus is labelled even if too few rows of the pilot could be read: by a readout that did not learn
    from them.
    """
    from savs.artifact.artifact import load_examples, make_artifact, save_artifact
    from savs.readout.choice import fit_readout
    from savs.readout.classify import values_of

    spec = job.spec
    assert isinstance(spec, PilotSpec)
    base = load_examples(spec.artifact)
    manifest, stored = base.manifest, base.examples
    assert stored is not None
    rows, vectors = pilot_vectors(ledger, job.job_id)
    corpus = manifest.choice is not None and manifest.choice.asked == "corpus"
    labels = [row.label for row in manifest.training]
    multi = base.readout.mode == MULTI
    try:
        if multi:
            check_decision_of_lists(spec.decision)
        fitted = fit_readout(
            stored.vectors,
            labels,
            "corpus" if corpus else "auto",
            _heads_of(base),
            manifest.classes,
            vectors,
        )
    except (FitError, SettingsError) as error:
        return {"status": "failed", "reason": str(error)}
    artifact = make_artifact(
        name=spec.name,
        artifact_version=job.job_id,
        readout=fitted.readout,
        origin=manifest.origin,
        question=manifest.question,
        training=manifest.training,
        created=job.submitted,
        fitted=fitted,
        examples=stored,
    )
    values = None if vectors is None else values_of(fitted.readout, vectors)
    counts = Counter(name for label in labels for name in labels_in(label))
    votes = fitted.choice.chosen == "reference"
    try:
        examples = {name: counts[name] for name in manifest.classes}
        rule = Rule() if multi else rule_of(spec.decision, examples, values, votes)
    except SettingsError as error:
        return {"status": "failed", "reason": str(error)}
    if values is not None:
        write_answers(ledger, job.job_id, rows, values, rule)
    url = ledger.artifact_url(spec.name, job.job_id)
    save_artifact(artifact, url)
    warnings = [
        *_warnings(base, rows, fitted),
        *([] if votes or multi else _decision_warnings(spec.decision, rule, len(labels), len(counts))),
        *(_rare_labels(counts) if multi else []),
    ]
    return _described(url, artifact, fitted) | {
        "status": "done",
        "warnings": warnings,
        "rule": rule.model_dump(exclude_none=True),
    }


def _decision_warnings(decision: Decision, rule: Rule, examples: int, classes: int) -> list[str]:
    from savs.readout.choice import ROUGH_EXAMPLES

    warnings = []
    if rule.threshold > 1:
        warnings.append(
            f"--target-precision {decision.target_precision}: no part of the corpus is that certain, so no "
            "row has a prediction; lower it, or give more examples"
        )
    if examples < ROUGH_EXAMPLES * classes:
        warnings.append(
            f"confidence is rough: it was calibrated on {examples} examples of {classes} classes; from "
            f"{ROUGH_EXAMPLES} per class on it can be relied on"
        )
    return warnings


def _rare_labels(counts: "Counter[str]") -> list[str]:
    """Return a warning of the labels with few examples, whose probabilities are rough."""
    from savs.readout.choice import ROUGH_EXAMPLES

    rare = [name for name, count in counts.items() if count < ROUGH_EXAMPLES]
    if not rare:
        return []
    shown = ", ".join(map(repr, rare[:LABELS_SHOWN])) + (", …" if rare[LABELS_SHOWN:] else "")
    return [
        f"labels with fewer than {ROUGH_EXAMPLES} examples, whose probabilities and thresholds are rough: "
        f"{len(rare)} of {len(counts)} ({shown})"
    ]


def _heads_of(base: "Artifact") -> int | None:
    """Return how many heads were asked for; None if a linear readout uses all of them, or follows another
    kind."""
    from savs.readout.choice import LEAST_EXAMPLES

    readout, manifest = base.readout, base.manifest
    if readout.mode == "hec":
        return None
    if readout.mode == "reference":
        votes_again = len(manifest.training) < LEAST_EXAMPLES * len(manifest.classes)
        return len(readout.heads) if votes_again else None
    return len(readout.heads) if len(readout.heads) < len(readout.layout.heads()) else None


def _warnings(base: "Artifact", rows: list[ExampleRow], fitted: "Fitted") -> list[str]:
    """Return why the labels of this corpus may be worse than those of rows like the examples."""
    from savs.artifact.training_row import question_hash
    from savs.estimators.shift import UNLIKE

    known = {row.question_sha256 for row in base.manifest.training}
    other = [row for row in rows if row.question and question_hash(row.question) not in known]
    warnings = []
    if other and None not in known:
        warnings.append(
            f"{len(other)} of {len(rows)} rows of the pilot are asked another question than the examples, "
            f"for example {other[0].question!r}: labels are better if both are asked the same"
        )
    if (told := fitted.choice.difference) is not None and told >= UNLIKE:
        warnings.append(
            f"the corpus looks unlike the examples (they can be told apart with R² {told:.2f}), so each was "
            "standardised by its own statistics. Check some labels, or take examples from the corpus"
        )
    return warnings

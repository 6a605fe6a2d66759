"""What a shard's rows come to: the ways of all jobs part here, behind the reading of the rows.

A row that cannot be labelled becomes an error row; whatever is wrong with the job itself is raised.
"""

import json
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from jobs.outcomes import LeakedRow
from jobs.rows import ExampleRow, Row, RowError
from jobs.scoring import scored
from jobs.specs import ClassifySpec, ExtractSpec, Job, ZeroShot
from savs.errors import ItemError
from savs.metrics import Tally
from savs.samples import Sample
from savs.scored import Scored

if TYPE_CHECKING:
    from savs.classifying import Answer
    from savs.engine import Part, Reader
    from savs.extracting import Hashed
    from savs.leaks import Leak
    from savs.media import Digest
    from savs.models import Model
    from savs.packing import Budget
    from savs.prompts import Prompt
    from savs.timings import Timings
    from savs.windows import Request

Progress = Callable[[int], None]  # told how many more rows are done
Said = str | dict[str, float]  # a text, or how likely each class is

OTHER = "(other)"  # in tallies: a text that is no class
OTHER_STILL = "(none of the classes)"  # where a row's label is OTHER


@dataclass(frozen=True)
class Entry:
    """A row of the manifest as far as it could be read: a sample, or why it is none."""

    index: int
    line: int
    sample: Sample | None
    error: ItemError | None


def read_out(
    job: Job,
    model: "Model",
    entries: list[Entry],
    question: str | None,
    timings: "Timings",
    progress: Progress,
    hashed: "Hashed",
    layers: frozenset[int] | None = None,
    read: "Reader | None" = None,
) -> "Iterator[Part]":
    """What comes of those entries that are samples, a batch at a time; request numbers are the samples'
    indices."""
    from savs.extracting import stream

    samples = _samples(entries)
    progress(len(entries) - len(samples))
    asked = _requests(samples, question)
    budget = budget_of(job, model)
    for part in stream(model, asked, timings, layers=layers, read=read, hashed=hashed, budget=budget):
        yield part
        progress(len(part.numbers) + len(part.errors))


def _requests(samples: Sequence[Sample], question: str | None) -> "Iterator[Request]":
    from savs.windows import Request

    return (Request(sample.index, sample, sample.question or question) for sample in samples)


def budget_of(job: Job, model: "Model") -> "Budget":
    """What one forward pass of the job may hold."""
    from savs.engine import default_budget

    budget = default_budget(model)
    return budget if job.spec.batch_tokens is None else replace(budget, tokens=job.spec.batch_tokens)


def _samples(entries: list[Entry]) -> list[Sample]:
    return [entry.sample for entry in entries if entry.sample is not None and entry.error is None]


def _errors(entries: list[Entry]) -> dict[int, ItemError]:
    return {entry.index: entry.error for entry in entries if entry.error is not None}


@dataclass(frozen=True)
class Ending:
    """What a shard ends with: its rows, its part with the suffix of its name, and what is counted.

    leaks, tally_without_leaks  as in an `Outcome`
    """

    rows: Sequence[Row | ExampleRow]
    suffix: str
    part: bytes
    tally: Tally
    leaks: tuple[LeakedRow, ...] | None = None
    tally_without_leaks: Tally | None = None


def classify_rows(
    job: Job, model: "Model", entries: list[Entry], timings: "Timings", progress: Progress
) -> Ending:
    """Labels the entries with the job's artifact; the part is their result rows."""
    from savs.artifacts import load_artifact
    from savs.classifying import answers as answers_of
    from savs.leaks import TrainingSet, find_leaks
    from savs.voting import Ballot

    assert isinstance(job.spec, ClassifySpec) and job.spec.artifact is not None
    artifact = load_artifact(job.spec.artifact)
    model = artifact.prepared(model)
    question, training = artifact.manifest.question, TrainingSet(artifact.manifest.training)
    layers = frozenset(int(layer) for layer, _ in artifact.readout.heads)
    ballot = Ballot.of(artifact.readout, model.layout.only(layers), model.device)
    answers: dict[int, Answer] = {}
    digests: dict[int, tuple[Digest, ...]] = {}
    errors = _errors(entries)
    for part in read_out(
        job, model, entries, question, timings, progress, training.may_hold, layers, ballot.named
    ):
        with timings.stage("readout"):
            said = [] if part.values is None else answers_of(artifact.readout, part.values)
        answers |= dict(zip(part.numbers, said, strict=True))
        errors |= part.errors
        digests |= part.digests
    task = artifact.manifest.name
    rows = [
        _error_row(entry, task, errors[entry.index])
        if entry.index in errors
        else _labelled_row(entry, task, answers[entry.index])
        for entry in entries
    ]
    samples, format = _by_index(entries), job.spec.data.format
    leaks = find_leaks(training, samples.values(), question, digests)
    unseen = [row for row in rows if row.error or row.index not in leaks]
    return Ending(
        rows,
        ".jsonl",
        b"".join(row.line() for row in rows),
        tally_of(rows, samples, format),
        _leaked(leaks) if training.comparable else None,
        tally_of(unseen, samples, format) if leaks else None,
    )


def _by_index(entries: list[Entry]) -> dict[int, Sample]:
    return {entry.index: entry.sample for entry in entries if entry.sample is not None}


def _leaked(leaks: "dict[int, Leak]") -> tuple[LeakedRow, ...]:
    return tuple(
        LeakedRow(index=index, training=leak.training, verified=leak.verified)
        for index, leak in sorted(leaks.items())
    )


def _labelled_row(entry: Entry, task: str, answer: "Answer") -> Row:
    sample = entry.sample
    assert sample is not None
    return Row(
        index=sample.index,
        id=sample.id,
        task=task,
        media=sample.media,
        prediction=answer.prediction,
        votes={name: count for name, count in answer.votes.items() if count},
        confidence=round(answer.confidence, 6),
        label=sample.label,
    )


def zero_shot_rows(
    job: Job, model: "Model", entries: list[Entry], timings: "Timings", progress: Progress
) -> Ending:
    """Asks the model itself about the entries; the part is their result rows."""
    from savs.extracting import read_prompts

    assert isinstance(job.spec, ClassifySpec) and job.spec.zero_shot is not None
    model = model.shown(**dict(job.spec.zero_shot.prompt))
    ask = _question(job.spec.zero_shot, model, timings)
    answers: dict[int, Said] = {}
    errors = _errors(entries)
    progress(len(errors))
    asked = _requests(_samples(entries), None)
    for prompts, unready in read_prompts(model, asked, timings, budget_of(job, model)):
        errors |= unready
        said = ask(list(prompts.values()))
        errors |= {n: one for n, one in zip(prompts, said, strict=True) if isinstance(one, ItemError)}
        answers |= {n: one for n, one in zip(prompts, said, strict=True) if not isinstance(one, ItemError)}
        progress(len(prompts) + len(unready))
    rows = [
        _error_row(entry, job.spec.name, errors[entry.index])
        if entry.index in errors
        else _said_row(entry, job.spec.name, answers[entry.index])
        for entry in entries
    ]
    part = b"".join(row.line() for row in rows)
    tally = tally_of(rows, _by_index(entries), job.spec.data.format, job.spec.zero_shot)
    return Ending(rows, ".jsonl", part, tally, leaks=())


def _question(
    zero_shot: ZeroShot, model: "Model", timings: "Timings"
) -> "Callable[[Sequence[Prompt]], Sequence[Said | ItemError]]":
    """What asks the model, as the job wants it."""
    from savs.zero_shot import generate, likeliest

    if zero_shot.max_new_tokens is None:
        return lambda prompts: likeliest(model, prompts, zero_shot.classes, timings)
    tokens = zero_shot.max_new_tokens
    return lambda prompts: generate(model, prompts, tokens, timings)


def _said_row(entry: Entry, task: str, said: Said) -> Row:
    sample = entry.sample
    assert sample is not None
    scores = None if isinstance(said, str) else said
    prediction = said if isinstance(said, str) else max(said, key=said.__getitem__)
    return Row(
        index=sample.index,
        id=sample.id,
        task=task,
        media=sample.media,
        prediction=prediction,
        confidence=round(scores[prediction], 6) if scores else None,
        scores={name: round(share, 6) for name, share in scores.items()} if scores else None,
        label=sample.label,
    )


def tally_of(
    rows: Iterable[Row], samples: Mapping[int, Sample], format: str, zero_shot: ZeroShot | None = None
) -> Tally:
    """What is counted of result rows; `samples` are the manifest's, by index."""
    tally = Tally()
    for one in scored(rows, samples, format):
        if zero_shot is not None and one.prediction is not None:
            one = replace(one, prediction=counted_as(one.prediction, one.label, zero_shot.classes))
        tally.add(one)
    return tally


def counted_as(text: str, label: str | None, classes: Collection[str]) -> str:
    """The name under which a generated text is counted: its own where it is the label or a class.

    All others share one, so that there are not as many as rows; and never the label's, or they
    would count as right.
    """
    if text == label or text in classes:
        return text
    return OTHER if label != OTHER else OTHER_STILL


def _error_row(entry: Entry, task: str, error: ItemError) -> Row:
    sample = entry.sample
    return Row(
        index=entry.index,
        id=sample.id if sample else str(entry.index),
        task=task,
        media=sample.media if sample else (),
        label=sample.label if sample else None,
        error=RowError(kind=error.kind, message=str(error)),
    )


def extract_rows(
    job: Job, model: "Model", entries: list[Entry], timings: "Timings", progress: Progress
) -> Ending:
    """Reads the entries' head vectors; the part is a safetensors file of them.

    `vectors` float32 [n, width] has a row for every example without an error; the examples lie
    beside it, in the file's metadata.
    """
    import numpy as np
    from safetensors.numpy import save

    from savs.artifacts import describe

    assert isinstance(job.spec, ExtractSpec)
    model = model.shown(**dict(job.spec.prompt))
    found: dict[int, np.ndarray] = {}
    digests: dict[int, tuple[Digest, ...]] = {}
    errors = _errors(entries)
    for part in read_out(job, model, entries, None, timings, progress, lambda size: True):
        if part.values is not None:
            found |= dict(zip(part.numbers, part.values.numpy(), strict=True))
        errors |= part.errors
        digests |= part.digests
    rows = [
        _example_row(entry, job.spec.name, digests.get(entry.index, ()), errors.get(entry.index))
        for entry in entries
    ]
    tally = Tally()
    for row in rows:
        kind = row.error.kind if row.error else None
        tally.add(Scored(row.index, prediction=None if kind else row.label, error=kind))
    metadata = {
        "rows": json.dumps([row.model_dump(exclude_none=True) for row in rows]),
        "origin": describe(model).model_dump_json(),
    }
    vectors = [found[row.index] for row in rows if row.error is None]
    stacked = np.stack(vectors) if vectors else np.zeros((0, model.layout.width), np.float32)
    return Ending(rows, ".safetensors", save({"vectors": stacked}, metadata), tally)


def _example_row(
    entry: Entry, task: str, digests: "tuple[Digest, ...]", error: ItemError | None
) -> ExampleRow:
    sample = entry.sample
    assert sample is not None and sample.label is not None, "the plan has validated every row"
    return ExampleRow(
        index=sample.index,
        id=sample.id,
        task=task,
        media=sample.media,
        question=sample.question,
        label=sample.label,
        sha256=() if error else tuple(digest.sha256 for digest in digests if digest.sha256 is not None),
        sizes=() if error else tuple(digest.size for digest in digests),
        error=RowError(kind=error.kind, message=str(error)) if error else None,
    )

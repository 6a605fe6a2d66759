"""Runs one shard: read its rows, read out the model, store the part, commit the outcome.

Extract and classify are the same way over the rows with another ending. A row that cannot be
labelled becomes an error row; whatever is wrong with the job itself (the model, the artifact, data
that has changed) is raised and leaves the shard without an outcome.
"""

import json
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from io import BytesIO
from typing import TYPE_CHECKING

from jobs.guarding import Roots
from jobs.ledger import Ledger
from jobs.outcomes import EXAMPLES, Counts, ErrorExample, Outcome
from jobs.planning import Shard
from jobs.rows import ExampleRow, Row, RowError
from jobs.scoring import scored
from jobs.specs import ClassifySpec, ExtractSpec, Job
from jobs.tallied import Tallied
from savs.errors import BadRow, ForbiddenMedia, ItemError, LedgerError
from savs.metrics import Tally
from savs.rows import read_rows
from savs.samples import Sample, parse_line
from savs.scored import Scored
from savs.storage import open_parent

if TYPE_CHECKING:
    from savs.classifying import Answer
    from savs.extracting import Extraction, Timings
    from savs.models import Model

Progress = Callable[[int], None]  # told how many more rows are done


@dataclass(frozen=True)
class Entry:
    """A row of the manifest as far as it could be read: a sample, or why it is none."""

    index: int
    line: int
    sample: Sample | None
    error: ItemError | None


def run_shard(
    ledger: Ledger,
    job: Job,
    shard: Shard,
    model: "Model",
    progress: Progress = lambda rows: None,
    roots: Roots | None = None,
) -> Outcome:
    """Runs `shard` of `job` and commits its outcome; one that has an outcome is left as it is.

    roots  where may be read; None for everywhere, as a person's own process may

    Raises ArtifactMismatch where the artifact was made with another model, Changed where the
    manifest is not what was planned, and ForbiddenAddress where manifest or artifact lie outside
    `roots`.
    """
    if (outcome := ledger.outcome(job.job_id, shard.number)) is not None:
        progress(shard.rows)
        return outcome
    from savs.extracting import Timings

    timings = Timings()
    began = time.perf_counter()
    with timings.stage("read"):
        entries = read_entries(ledger, job, shard, roots)
    ending = classify_rows if isinstance(job.spec, ClassifySpec) else extract_rows
    rows, suffix, part, tally = ending(job, model, entries, timings, progress)
    with timings.stage("write"):
        attempt, name, digest = ledger.write_part(job.job_id, shard.number, suffix, part)
    timings.add("worker", time.perf_counter() - began)
    failed = sum(row.error is not None for row in rows)
    return ledger.commit(
        job.job_id,
        Outcome(
            shard=shard.number,
            status="done",
            attempt=attempt,
            part=name,
            sha256=digest,
            counts=Counts(rows=len(rows), labelled=len(rows) - failed, failed=failed),
            tally=Tallied.of(tally),
            examples=_examples(rows),
            timings={name: round(seconds, 4) for name, seconds in sorted(timings.seconds.items())},
        ),
    )


def read_entries(ledger: Ledger, job: Job, shard: Shard, roots: Roots | None) -> list[Entry]:
    """The shard's rows. Raises Changed where the manifest is no longer the one that was planned, and
    LedgerError where they are not as many as were planned."""
    source = job.spec.source
    if roots is not None:
        roots.check_address(source.url)
        if isinstance(job.spec, ClassifySpec):
            roots.check_address(job.spec.artifact)
    if shard.retry is None:
        found = _read_span(job, shard, roots)
    else:
        found = []
        for pick in ledger.retry(job.job_id, shard.retry).shard(shard.number).picks:
            wanted = set(pick.rows)
            found += [entry for entry in _read_span(job, pick.shard, roots) if entry.index in wanted]
    if len(found) != shard.rows:
        raise LedgerError(
            f"job {job.job_id}: shard {shard.number} has {len(found)} rows, and {shard.rows} were planned"
        )
    return found


def _read_span(job: Job, shard: Shard, roots: Roots | None) -> list[Entry]:
    source = job.spec.source
    store, key = open_parent(source.url)
    data = store.read_range(key, shard.offset, shard.length, source.etag)
    entries = []
    for line in read_rows(BytesIO(data), shard.listed, shard.first_index, shard.first_line, inside=True):
        try:
            sample = parse_line(line, source.reading, labelled=job.spec.kind == "extract")
            refused = _refused(sample, roots)
            entries.append(Entry(line.index, line.number, sample, refused))
        except BadRow as error:
            bad = BadRow(f"{source.url}:{line.number}: {error}")
            entries.append(Entry(line.index, line.number, None, bad))
    return entries


def _refused(sample: Sample, roots: Roots | None) -> ForbiddenMedia | None:
    try:
        if roots is not None:
            roots.check_media(sample)
    except ForbiddenMedia as error:
        return error
    return None


def read_out(
    job: Job,
    model: "Model",
    entries: list[Entry],
    question: str | None,
    timings: "Timings",
    progress: Progress,
) -> "Iterator[Extraction]":
    """The head vectors of those entries that are samples, a batch at a time."""
    from savs.extracting import stream

    samples = [entry.sample for entry in entries if entry.sample is not None and entry.error is None]
    progress(len(entries) - len(samples))
    for part in stream(model, samples, question, job.spec.batch_size, timings):
        yield part
        progress(len(part.samples) + len(part.errors))


Ending = tuple[Sequence[Row | ExampleRow], str, bytes, Tally]  # rows, the part's suffix, the part, counts


def classify_rows(
    job: Job, model: "Model", entries: list[Entry], timings: "Timings", progress: Progress
) -> Ending:
    """Labels the entries with the job's artifact; the part is their result rows."""
    from savs.artifacts import load_artifact
    from savs.classifying import classify

    assert isinstance(job.spec, ClassifySpec)
    artifact = load_artifact(job.spec.artifact)
    artifact.check(model)
    answers: dict[int, Answer] = {}
    errors = {entry.index: entry.error for entry in entries if entry.error is not None}
    for part in read_out(job, model, entries, artifact.manifest.question, timings, progress):
        with timings.stage("readout"):
            said = classify(artifact.readout, part.vectors)
        answers |= {sample.index: answer for sample, answer in zip(part.samples, said, strict=True)}
        errors |= part.errors
    task = artifact.manifest.name
    rows = [
        _error_row(entry, task, errors[entry.index])
        if entry.index in errors
        else _labelled_row(entry, task, answers[entry.index])
        for entry in entries
    ]
    tally = Tally()
    for one in scored(rows, entries, job.spec.source.format):
        tally.add(one)
    return rows, ".jsonl", b"".join(row.line() for row in rows), tally


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
    vectors = [np.zeros((0, model.layout.width), np.float32)]
    errors = {entry.index: entry.error for entry in entries if entry.error is not None}
    for part in read_out(job, model, entries, None, timings, progress):
        vectors.append(part.vectors.values)
        errors |= part.errors
    with timings.stage("read"):
        rows = [_example_row(entry, job.spec.name, errors.get(entry.index)) for entry in entries]
    tally = Tally()
    for row in rows:
        kind = row.error.kind if row.error else None
        tally.add(Scored(row.index, prediction=None if kind else row.label, error=kind))
    metadata = {
        "rows": json.dumps([row.model_dump(exclude_none=True) for row in rows]),
        "origin": describe(model).model_dump_json(),
    }
    return rows, ".safetensors", save({"vectors": np.concatenate(vectors)}, metadata), tally


def _example_row(entry: Entry, task: str, error: ItemError | None) -> ExampleRow:
    from savs.media import content_hash

    sample = entry.sample
    assert sample is not None and sample.label is not None, "the plan has validated every row"
    return ExampleRow(
        index=sample.index,
        id=sample.id,
        task=task,
        media=sample.media,
        question=sample.question,
        label=sample.label,
        sha256=() if error else tuple(content_hash(address) for address in sample.media),
        error=RowError(kind=error.kind, message=str(error)) if error else None,
    )


def _examples(rows: Sequence[Row | ExampleRow]) -> tuple[ErrorExample, ...]:
    """The first few error rows of each kind."""
    quoted: Counter[str] = Counter()
    found = []
    for row in rows:
        if row.error is not None and quoted[row.error.kind] < EXAMPLES:
            quoted[row.error.kind] += 1
            error = row.error
            found.append(ErrorExample(index=row.index, id=row.id, kind=error.kind, message=error.message))
    return tuple(found)


def give_up(ledger: Ledger, job: Job, shard: Shard, reason: str) -> Outcome:
    """Makes "failed" the shard's outcome, unless it has one."""
    return ledger.commit(
        job.job_id,
        Outcome(
            shard=shard.number,
            status="failed",
            attempt="none",
            counts=Counts(rows=shard.rows, failed=shard.rows),
            reason=reason,
        ),
    )

"""Runs one shard: read its rows, read out the model, store the part, commit the outcome.

All jobs are the same way over the rows with another ending (`jobs.endings`). A row that cannot be
labelled becomes an error row; whatever is wrong with the job itself (the model, the artifact, data
that has changed) is raised and leaves the shard without an outcome.
"""

import time
from collections import Counter
from collections.abc import Callable, Sequence
from io import BytesIO
from typing import TYPE_CHECKING

from jobs.endings import Ending, Entry, Progress, classify_rows, extract_rows, zero_shot_rows
from jobs.guarding import Roots
from jobs.ledger import Ledger
from jobs.outcomes import EXAMPLES, Counts, ErrorExample, Outcome
from jobs.planning import Shard
from jobs.rows import ExampleRow, Row
from jobs.specs import ClassifySpec, ExtractSpec, Job
from jobs.tallied import Tallied
from savs.errors import BadRow, ForbiddenMedia, LedgerError
from savs.rows import read_rows
from savs.samples import Sample, parse_line
from savs.storage import open_parent

if TYPE_CHECKING:
    from savs.models import Model
    from savs.timings import Timings


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
    from savs.timings import Timings

    timings = Timings()
    began = time.perf_counter()
    with timings.stage("read"):
        entries = read_entries(ledger, job, shard, roots)
    ending = _ending(job)(job, model, entries, timings, progress)
    with timings.stage("write"):
        attempt, name, digest = ledger.write_part(job.job_id, shard.number, ending.suffix, ending.part)
    timings.add("worker", time.perf_counter() - began)
    rows, without = ending.rows, ending.tally_without_leaks
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
            tally=Tallied.of(ending.tally),
            leaks=ending.leaks,
            tally_without_leaks=None if without is None else Tallied.of(without),
            examples=_examples(rows),
            timings={name: round(seconds, 4) for name, seconds in sorted(timings.seconds.items())},
        ),
    )


def _ending(job: Job) -> "Callable[[Job, Model, list[Entry], Timings, Progress], Ending]":
    if isinstance(job.spec, ExtractSpec):
        return extract_rows
    return classify_rows if job.spec.zero_shot is None else zero_shot_rows


def read_entries(ledger: Ledger, job: Job, shard: Shard, roots: Roots | None) -> list[Entry]:
    """The shard's rows. Raises Changed where the manifest is no longer the one that was planned, and
    LedgerError where they are not as many as were planned."""
    source = job.spec.source
    if roots is not None:
        roots.check_address(source.url)
        if isinstance(job.spec, ClassifySpec) and job.spec.artifact is not None:
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

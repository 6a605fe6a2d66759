"""Runs one shard: reads its rows, runs the model, stores the part, commits the outcome.

All kinds of jobs share these steps and differ in their result (`jobs.shards.result`). A row that cannot
be labelled becomes an error row; an error of the job itself (the model, the artifact, data that has
changed) is raised and leaves the shard without an outcome.
"""

import os
import socket
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from jobs.ledger.ledger import Ledger
from jobs.records.job import ExtractSpec, Job, PilotSpec
from jobs.records.outcome import EXAMPLES, Counts, ErrorExample, Outcome, Ran
from jobs.records.plan import Shard
from jobs.records.row import ExampleRow, ResultRow
from jobs.records.tallies.tally import TallyRecord
from jobs.shards.allowed_roots import Roots
from jobs.shards.classify import label_rows
from jobs.shards.companions import carried_shards
from jobs.shards.extract import read_examples
from jobs.shards.pilot import read_vectors
from jobs.shards.result import Progress, ShardResult, counts_of
from jobs.shards.rows import ShardRows, read_shard_rows
from jobs.shards.zero_shot import answer_rows

if TYPE_CHECKING:
    from savs.model.model import Model
    from savs.timings import Timings


def run_shard(
    ledger: Ledger,
    job: Job,
    shard: Shard,
    model: "Model",
    progress: Progress = lambda rows: None,
    roots: Roots | None = None,
) -> tuple[Outcome, ...]:
    """Run `shard` of `job` and its companions' shards in one pass through the model. Commit an outcome for
    each, and return them, the job's own first. A shard that has an outcome is left as it is.

    roots  addresses that may be read; None allows all, as for a user's own process

    Raises ArtifactMismatch if the artifact was made with another model, Changed if the manifest is
    not the one that was planned, and ForbiddenAddress if manifest or artifact is outside `roots`.
    """
    if (outcome := ledger.outcome(job.job_id, shard.number)) is not None:
        progress(shard.rows)
        return (outcome,)
    from savs.timings import Timings

    timings = Timings()
    began, since = time.perf_counter(), datetime.now(UTC)
    with timings.stage("read"):
        first = read_shard_rows(ledger, job, shard, roots)
        units = [first, *carried_shards(ledger, first, roots)]
    written: list[tuple[ShardRows, Outcome]] = []
    for unit, ending in zip(units, _endings(units, model, timings, progress), strict=True):
        if ending is not None:
            with timings.stage("write"):
                written.append((unit, _write(ledger, unit, ending)))
    timings.add("worker", time.perf_counter() - began)
    ran = Ran(worker=f"{socket.gethostname()}:{os.getpid()}", began=since, ended=datetime.now(UTC))
    spent = {
        "ran": ran,
        "timings": {name: round(seconds, 4) for name, seconds in sorted(timings.seconds.items())},
        "work": dict(sorted(timings.counts.items())),
    }
    # The job's own comes last, so that its presence means that the others have been committed.
    outcomes = [
        ledger.commit(unit.job.job_id, outcome.model_copy(update=spent))
        for unit, outcome in reversed(written)
    ]
    return tuple(reversed(outcomes))


def _endings(
    units: Sequence[ShardRows], model: "Model", timings: "Timings", progress: Progress
) -> Iterable[ShardResult | None]:
    """Return the results one after another, so that the rows of only one are in memory."""
    spec = units[0].job.spec
    if isinstance(spec, PilotSpec):
        return [read_vectors(units[0], model, timings, progress)]
    if isinstance(spec, ExtractSpec):
        return read_examples(units, model, timings, progress)
    if spec.zero_shot is not None:
        return [answer_rows(units[0], model, timings, progress)]
    return label_rows(units, model, timings, progress)


def _write(ledger: Ledger, unit: ShardRows, ending: ShardResult) -> Outcome:
    """Store the part, and the head vectors beside it if they are kept. Return the outcome that names both."""
    job_id, number, kept = unit.job.job_id, unit.shard.number, ending.kept
    attempt, name, digest = ledger.write_part(job_id, number, ending.suffix, ending.part)
    vectors = None
    if kept is not None:
        vectors = ledger.write_vectors(job_id, number, attempt, kept.data, kept.rows, kept.pilot)
    rows, without = ending.rows, ending.tally_without_leaks
    return Outcome(
        shard=number,
        status="done",
        attempt=attempt,
        part=name,
        sha256=digest,
        kept=vectors,
        counts=counts_of(rows),
        tally=TallyRecord.of(ending.tally),
        leaks=ending.leaks,
        tally_without_leaks=None if without is None else TallyRecord.of(without),
        examples=_examples(rows),
    )


def _examples(rows: Sequence[ResultRow | ExampleRow]) -> tuple[ErrorExample, ...]:
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
    """Make "failed" the shard's outcome, unless it has one."""
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

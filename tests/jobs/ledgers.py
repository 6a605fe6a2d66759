"""Ledgers written by hand: jobs, plans and outcomes without a model."""

from array import array
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from jobs.ledger.ledger import Ledger
from jobs.records.job import ClassifySpec, ExtractSpec, Job, Source, job_id
from jobs.records.outcome import ErrorExample, LeakedRow, Outcome
from jobs.records.plan import Plan
from jobs.records.row import ResultRow, RowError
from jobs.records.tallies.tally import TallyRecord
from jobs.shards import result
from jobs.submit.submission import make_source
from savs.scores.metrics import Tally

MONDAY = datetime(2030, 1, 7, 8, tzinfo=UTC)
SOURCE = Source(url="/data/rows.jsonl", etag="0" * 64)


def extract_job(name: str = "pets", minute: int = 0, heads: int = 5) -> Job:
    spec = ExtractSpec(
        name=name, model="demo", train=SOURCE, heads=heads, readout="reference", shard_size=2, batch_tokens=2
    )
    return Job(job_id=job_id(spec), submitted=MONDAY + timedelta(minutes=minute), spec=spec)


def classify_job(
    name: str = "pets", minute: int = 0, after: str | None = None, source: Source = SOURCE
) -> Job:
    spec = ClassifySpec(
        name=name, model="demo", data=source, artifact="/a", after=after, shard_size=2, batch_tokens=2
    )
    return Job(job_id=job_id(spec), submitted=MONDAY + timedelta(minutes=minute), spec=spec)


def source_in(folder: Path) -> Source:
    """A manifest that is there, as retries ask for."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "rows.jsonl").write_text('{"question": "?"}\n')
    return make_source(str(folder / "rows.jsonl"), "--data")


def plan_of(*sizes: int) -> Plan:
    """Shards of so many rows, all but the last the same; the bytes are nobody's."""
    firsts = [sum(sizes[:n]) for n in range(len(sizes))]
    return Plan(
        rows=sum(sizes),
        shard_rows=sizes[0],
        end=100 * sum(sizes),
        kind="image",
        problems=0,
        offsets=array("q", [100 * first for first in firsts]),
        lines=array("q", [first + 1 for first in firsts]),
    )


def summary_of(job: Job, status: str = "done") -> dict[str, Any]:
    """A summary that says nothing but how the job ended."""
    counts = dict.fromkeys(("rows", "shards", "labelled", "failed", "abstained"), 0)
    maps: dict[str, Any] = {"classes": {}, "errors": {}, "timings": {"items_per_second": {}}}
    return (
        {"job_id": job.job_id, "name": job.spec.name, "kind": job.spec.kind, "status": status} | counts | maps
    )


def row(index: int, prediction: str | None, label: str | None = None, error: str | None = None) -> ResultRow:
    return ResultRow(
        index=index,
        id=f"row-{index}",
        task="pets",
        prediction=prediction,
        votes={prediction: 5} if prediction else {},
        confidence=1.0 if prediction else None,
        label=label,
        error=RowError(kind=error, message=f"row {index} is unreadable") if error else None,
    )


def probable(
    index: int, scores: dict[str, float], label: str | None = None, abstains: bool = False
) -> ResultRow:
    """A row with probabilities, labelled with the likeliest class unless it abstains."""
    likeliest = max(scores, key=scores.__getitem__)
    return ResultRow(
        index=index,
        id=f"row-{index}",
        task="pets",
        prediction=None if abstains else likeliest,
        confidence=scores[likeliest],
        scores=scores,
        label=label,
    )


def tally_of(rows: Iterable[ResultRow], format: str = "general") -> Tally:
    """What a worker counts of `rows`, of which the manifest says nothing else."""
    return result.tally_of(rows, {}, format)


def write_outcome(
    ledger: Ledger,
    job: Job,
    shard: int,
    rows: list[ResultRow],
    leaks: tuple[LeakedRow, ...] = (),
    **changes: object,
) -> Outcome:
    """Stores `rows` as a shard's part and commits what follows from them."""
    format = job.spec.source.format
    leaked = {one.index for one in leaks}
    unseen = [row for row in rows if row.error or row.index not in leaked]
    failed = [one for one in rows if one.error]
    data = b"".join(one.line() for one in rows)
    attempt, part, digest = ledger.write_part(job.job_id, shard, ".jsonl", data)
    outcome = Outcome(
        shard=shard,
        status="done",
        attempt=attempt,
        part=part,
        sha256=digest,
        counts=result.counts_of(rows),
        tally=TallyRecord.of(tally_of(rows, format)),
        leaks=leaks,
        tally_without_leaks=TallyRecord.of(tally_of(unseen, format)) if leaks else None,
        examples=tuple(
            ErrorExample(index=one.index, id=one.id, kind=one.error.kind, message=one.error.message)
            for one in failed
            if one.error
        ),
        timings={"decode": 0.5, "forward": 0.25},
    )
    return ledger.commit(job.job_id, outcome.model_copy(update=changes))

"""Adds up a job's commits: into an artifact (extract) or a summary (classify).

Everything here follows from the ledger alone, so running it twice changes nothing.
"""

import json
from collections import Counter
from typing import TYPE_CHECKING, Any

from pydantic import TypeAdapter, ValidationError

from jobs.ledger import EXAMPLES, Ledger, Outcome
from jobs.planning import Plan
from jobs.rows import ExampleRow
from jobs.specs import ClassifySpec, ExtractSpec, Job
from savs.errors import FitError, LedgerError
from savs.metrics import score, total

if TYPE_CHECKING:
    from savs.artifacts import Origin
    from savs.vectors import HeadVectors

STAGES = ("read", "decode", "preprocess", "forward", "readout", "write")


def reduce_job(ledger: Ledger, job: Job) -> dict[str, Any] | None:
    """Writes and returns the job's summary; None while shards are without an outcome.

    The `status` in it is "done", "incomplete" (shards were given up), or "failed" (nothing could
    be fitted; see `reason`).
    """
    plan = ledger.plan(job.job_id)
    outcomes = ledger.outcomes(job.job_id)
    planned, ended = {shard.number for shard in plan.shards}, {outcome.shard for outcome in outcomes}
    if ended - planned:
        raise LedgerError(f"job {job.job_id}: shards {sorted(ended - planned)} ended and were not planned")
    if planned - ended:
        return None
    summary = _summary(job, plan, outcomes)
    if isinstance(job.spec, ExtractSpec) and summary["status"] == "done":
        summary |= _fit(ledger, job, job.spec, outcomes)
    ledger.write_summary(job.job_id, summary)
    return summary


def _summary(job: Job, plan: Plan, outcomes: list[Outcome]) -> dict[str, Any]:
    dead = [o for o in outcomes if o.status == "failed"]
    tally = total(outcome.tally.tally() for outcome in outcomes)
    counts: Counter[str] = Counter()
    for outcome in outcomes:
        counts.update(outcome.counts.model_dump())
    if counts["rows"] != plan.rows or counts["rows"] != sum(
        counts[k] for k in ("labelled", "abstained", "failed")
    ):
        raise LedgerError(f"job {job.job_id}: {plan.rows} rows were planned and {dict(counts)} counted")
    summary: dict[str, Any] = {
        "schema_version": 1,
        "job_id": job.job_id,
        "name": job.spec.name,
        "kind": job.spec.kind,
        "status": "incomplete" if dead else "done",
        "rows": plan.rows,
        "labelled": counts["labelled"],
        "failed": counts["failed"],
        "abstained": counts["abstained"],
        "classes": dict(sorted(tally.predicted.items())),
        "errors": summarize_errors(outcomes),
    }
    if isinstance(job.spec, ClassifySpec):
        summary["artifact"] = job.spec.artifact
        if scores := score(tally):
            summary |= {
                "scored": scores.rows,
                "accuracy": scores.accuracy,
                "per_class_accuracy": scores.per_class,
                "confusion": scores.confusion,
            }
    if dead:
        shards = {shard.number: shard for shard in plan.shards}
        summary["missing"] = [
            {
                "shard": o.shard,
                "first_index": shards[o.shard].first_index,
                "rows": shards[o.shard].rows,
                "reason": o.reason,
            }
            for o in dead
        ]
    summary["timings"] = _timings(outcomes, counts["labelled"])
    summary["created"] = job.submitted
    return summary


def summarize_errors(outcomes: list[Outcome]) -> dict[str, dict[str, Any]]:
    """Per kind of error, its rows and the first few of them."""
    errors: dict[str, dict[str, Any]] = {}
    for kind, count in sorted(total(o.tally.tally() for o in outcomes).errors.items()):
        quoted = [e.model_dump() for o in outcomes for e in o.examples if e.kind == kind]
        errors[kind] = {"rows": count, "examples": quoted[:EXAMPLES]}
    return errors


def _timings(outcomes: list[Outcome], items: int) -> dict[str, Any]:
    """Seconds per stage over all shards, and items per second of each stage alone."""
    seconds: Counter[str] = Counter()
    for outcome in outcomes:
        seconds.update(outcome.timings)
    return {
        "seconds": {stage: round(seconds[stage], 3) for stage in STAGES},
        "items_per_second": {
            stage: round(items / seconds[stage], 1) for stage in STAGES if seconds[stage] > 0
        },
    }


def _fit(ledger: Ledger, job: Job, spec: ExtractSpec, outcomes: list[Outcome]) -> dict[str, Any]:
    """Fits and stores the artifact; what that adds to the summary."""
    from savs.artifacts import TrainingRow, make_artifact, save_artifact
    from savs.fitting import fit

    rows, vectors, origin = _gather(ledger, job, outcomes)
    good = [row for row in rows if row.error is None]
    classes = list(dict.fromkeys(row.label for row in rows))
    try:
        readout = fit(vectors, [row.label for row in good], spec.heads, spec.readout, classes)
    except FitError as error:
        lost = f" ({len(rows) - len(good)} examples could not be read)" if len(good) < len(rows) else ""
        return {"status": "failed", "reason": f"{error}{lost}"}
    questions = {row.question for row in rows}
    artifact = make_artifact(
        name=spec.name,
        artifact_version=job.job_id,
        readout=readout,
        origin=origin,
        question=questions.pop() if len(questions) == 1 else None,
        training=[TrainingRow(id=row.id, label=row.label, sha256=row.sha256) for row in good],
        created=job.submitted,
    )
    url = ledger.artifact_url(spec.name, job.job_id)
    save_artifact(artifact, url)
    count = len(rows) - len(good)
    return {
        "artifact": url,
        "heads": [[int(layer), int(head)] for layer, head in readout.heads],
        "warnings": [f"{count} of {len(rows)} examples could not be read and were left out"] if count else [],
    }


def _gather(
    ledger: Ledger, job: Job, outcomes: list[Outcome]
) -> "tuple[list[ExampleRow], HeadVectors, Origin]":
    """Examples and vectors of all shards, in manifest order, and the model that read them."""
    import numpy as np
    from safetensors import SafetensorError
    from safetensors.numpy import load

    from savs.artifacts import Origin
    from savs.vectors import HeadVectors

    rows: list[ExampleRow] = []
    values, origins = [], set()
    for outcome in outcomes:
        data = ledger.read_part(job.job_id, outcome)
        try:
            values.append(load(data)["vectors"])
            metadata = _metadata(data)
            rows += TypeAdapter(list[ExampleRow]).validate_json(metadata["rows"])
        except (SafetensorError, KeyError, ValueError, ValidationError) as error:
            raise LedgerError(f"job {job.job_id}: part {outcome.part} is not usable: {error}") from error
        origins.add(metadata["origin"])
    if len(origins) != 1:
        raise LedgerError(f"job {job.job_id}: its shards were read out by different models")
    origin = Origin.model_validate_json(origins.pop())
    return rows, HeadVectors(origin.head_layout(), np.concatenate(values)), origin


def _metadata(data: bytes) -> dict[str, str]:
    """The metadata of a safetensors file: JSON behind 8 bytes that say how long it is."""
    length = int.from_bytes(data[:8], "little")
    metadata: dict[str, str] = json.loads(data[8 : 8 + length])["__metadata__"]
    return metadata

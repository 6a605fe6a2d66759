"""Adds up a job's commits: into an artifact (extract) or a summary (classify).

Everything here follows from the ledger alone, so running it twice changes nothing.
"""

from typing import Any

from jobs.broker import gpu_queue
from jobs.ledger import Ledger
from jobs.outcomes import Sums
from jobs.results import examples
from jobs.retries import Planned
from jobs.scoring import group_warnings, scores_of
from jobs.specs import ClassifySpec, ExtractSpec, Job, is_zero_shot
from savs.errors import FitError, LedgerError
from savs.metrics import score

# A shard's, in the order of the data's way. `forward` is what starts it, and on a CPU all of it.
STAGES = (
    *("read", "fetch", "decode", "preprocess", "copy", "vision", "language", "forward", "readout", "write"),
)
RATE_SECONDS = 10.0  # of workers' time without which a job says nothing about a model's rate


def reduce_job(ledger: Ledger, job: Job) -> dict[str, Any] | None:
    """Writes and returns the job's summary; None while shards are without an outcome.

    The `status` in it is "done", "incomplete" (shards were given up), or "failed" (nothing could
    be fitted; see `reason`). Memory does not grow with the number of shards that were done.
    """
    planned = ledger.planned(job.job_id)
    ended = ledger.committed(job.job_id)
    if beyond := sorted(n for n in ended if n >= len(planned)):
        raise LedgerError(f"job {job.job_id}: shards {beyond} ended and were not planned")
    if len(ended) < len(planned):
        return None
    summary = _summary(job, planned, add_up(ledger, job, planned, ended))
    if isinstance(job.spec, ExtractSpec) and summary["status"] == "done":
        fitted = _fit(ledger, job, job.spec)
        summary |= fitted | {"warnings": [*summary["warnings"], *fitted.get("warnings", [])]}
    ledger.write_summary(job.job_id, summary)
    _remember_rate(ledger, job, planned, summary)
    return summary


def add_up(ledger: Ledger, job: Job, planned: Planned, shards: set[int], onto: Sums | None = None) -> Sums:
    """The outcomes of `shards`, added to `onto`.

    Those that redid rows go first, the last of them before all others: then it is known of every
    row that failed, and of every shard that was given up, whether that still stands.
    """
    sums, size = Sums() if onto is None else onto, len(planned.plan)
    redone: set[int] = set()  # indices of rows
    for outcome in reversed(list(ledger.outcomes(job.job_id, (n for n in shards if n >= size)))):
        _, again = planned.redone(outcome.shard)
        if outcome.status == "done" or not redone.issuperset(again.indices):
            sums.redo(outcome, again.replaced, again.errors, redone)
        if outcome.status == "done":
            redone.update(again.indices)
    for outcome in ledger.outcomes(job.job_id, (n for n in shards if n < size)):
        sums.add(outcome, redone)
        if outcome.status == "failed" and planned.shard(outcome.shard).first_index in redone:
            del sums.dead[outcome.shard]
    return sums


def _summary(job: Job, planned: Planned, sums: Sums) -> dict[str, Any]:
    dead = {n: why for n, why in sorted(sums.dead.items()) if n < len(planned.plan)}
    counts, tally = sums.counts, sums.tally
    if counts["rows"] != planned.rows or counts["rows"] != sum(
        counts[k] for k in ("labelled", "abstained", "failed")
    ):
        raise LedgerError(f"job {job.job_id}: {planned.rows} rows were planned and {dict(counts)} counted")
    summary: dict[str, Any] = {
        "schema_version": 1,
        "job_id": job.job_id,
        "name": job.spec.name,
        "kind": job.spec.kind,
        "status": "incomplete" if dead else "done",
        "rows": planned.rows,
        "shards": len(planned),
        "labelled": counts["labelled"],
        "failed": counts["failed"],
        "abstained": counts["abstained"],
        "classes": dict(sorted(tally.predicted.items())),
        "errors": errors_of(sums),
        "warnings": [
            f"shard {n}, which redid rows that had failed, was given up ({why}); they stay as they were"
            for n, why in sorted(sums.dead.items())
            if n >= len(planned.plan)
        ],
    }
    if isinstance(job.spec, ClassifySpec):
        if job.spec.zero_shot is None:
            summary["artifact"] = job.spec.artifact
        else:
            summary["zero_shot"] = job.spec.zero_shot.model_dump(exclude_defaults=True)
        if scores := score(tally):
            summary |= scores_of(scores)
            summary["warnings"] += group_warnings(scores)
        if job.spec.zero_shot is None:
            summary |= _leaks(sums)
        if sums.leaks.unchecked and job.spec.zero_shot is None:
            summary["warnings"].append(
                "the artifact keeps nothing that rows could be compared with, so that nobody looked for "
                "rows of the training set; extract it again"
            )
    if dead:
        summary["missing"] = [
            {"shard": n, "first_index": s.first_index, "rows": s.rows, "reason": why}
            for n, why in dead.items()
            for s in [planned.shard(n)]
        ]
        summary["advice"] = (
            f"mend what the reasons say, then: savs-submit resume {job.spec.name} --retry-failed-shards"
        )
    elif counts["failed"] and isinstance(job.spec, ClassifySpec):
        summary["advice"] = (
            f"savs-submit logs {job.spec.name} says why rows failed; mend that, then: "
            f"savs-submit retry {job.spec.name}"
        )
    summary["timings"] = _timings(sums, counts["rows"], counts["labelled"])
    summary["created"] = job.submitted
    return summary


def _leaks(sums: Sums) -> dict[str, Any]:
    """Rows that are in the training set, and the scores without them where there are any."""
    leaks = sums.leaks
    if leaks.unchecked:
        return {"leaks": None}
    found = {
        "verified": leaks.verified,
        "unverified": leaks.unverified,
        "rows": [row.model_dump() for row in leaks.rows],
    }
    without = score(sums.tally_without_leaks) if leaks.rows and sums.tally_without_leaks else None
    return {"leaks": found} | ({"without_leaks": scores_of(without)} if without else {})


def errors_of(sums: Sums) -> dict[str, dict[str, Any]]:
    """Per kind of error, its rows and the first few of them."""
    return {
        kind: {"rows": rows, "examples": [e.model_dump() for e in sums.examples.get(kind, [])]}
        for kind, rows in sorted(sums.tally.errors.items())
        if rows
    }


def _timings(sums: Sums, rows: int, labelled: int) -> dict[str, Any]:
    """Seconds per stage over all shards, labelled rows per second of each stage alone; and per second of
    a worker rows, tokens and pixels, and the share of it in which the device was busy."""
    seconds, whole = sums.timings, sums.timings["worker"]
    timings: dict[str, Any] = {
        "seconds": {stage: round(seconds[stage], 3) for stage in STAGES if seconds[stage] > 0},
        "items_per_second": {
            stage: round(labelled / seconds[stage], 1) for stage in STAGES if seconds[stage] > 0
        },
        "worker_seconds": round(whole, 3),
    }
    if whole > 0:
        timings["items_per_worker_second"] = round(rows / whole, 2)
        for what in ("tokens", "pixels"):
            if sums.work[what]:
                timings[f"{what}_per_worker_second"] = round(sums.work[what] / whole)
        if seconds["device"] > 0:
            timings["device_busy"] = round(seconds["device"] / whole, 3)
    return timings


def _remember_rate(ledger: Ledger, job: Job, planned: Planned, summary: dict[str, Any]) -> None:
    timings = summary["timings"]
    if is_zero_shot(job.spec) or job.spec.together is not None:
        return  # their rows take another time
    if summary["status"] != "done" or timings["worker_seconds"] < RATE_SECONDS:
        return
    queue = gpu_queue(job.spec.model)
    rates = ledger.rates(queue) | {planned.plan.kind: timings["items_per_worker_second"]}
    ledger.write_rates(queue, rates)


def _fit(ledger: Ledger, job: Job, spec: ExtractSpec) -> dict[str, Any]:
    """Fits and stores the artifact; what that adds to the summary."""
    from savs.artifacts import make_artifact, save_artifact
    from savs.fitting import fit
    from savs.manifests import Origin, training_row
    from savs.vectors import HeadVectors

    rows, values, described = examples(ledger, job)
    origin = Origin.model_validate_json(described)
    layout = origin.head_layout()
    good = [row for row in rows if row.error is None]
    classes = list(dict.fromkeys(row.label for row in rows))
    try:
        vectors = HeadVectors(layout, values.reshape(-1, layout.width))
        readout = fit(vectors, [row.label for row in good], spec.heads, spec.readout, classes)
    except FitError as error:
        lost = f" ({len(rows) - len(good)} examples could not be read)" if len(good) < len(rows) else ""
        return {"status": "failed", "reason": f"{error}{lost}"}
    questions = {row.question for row in rows}
    training = [training_row(row.id, row.label, row.question or "", row.media, row.digests) for row in good]
    artifact = make_artifact(
        name=spec.name,
        artifact_version=job.job_id,
        readout=readout,
        origin=origin,
        question=questions.pop() if len(questions) == 1 else None,
        training=training,
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


def fail_job(ledger: Ledger, job: Job, reason: str, *, data: bool = False) -> dict[str, Any]:
    """Ends a job that cannot go on, before any row of it counts, with `reason`.

    data  whether that lies in its manifest, so that what mends it makes another job
    """
    again = "submit it again" if data else f"then: savs-submit resume {job.spec.name}"
    summary = {
        "schema_version": 1,
        "job_id": job.job_id,
        "name": job.spec.name,
        "kind": job.spec.kind,
        "status": "failed",
        "reason": reason,
        "rows": 0,
        "shards": 0,
        "labelled": 0,
        "failed": 0,
        "abstained": 0,
        "classes": {},
        "errors": {},
        "warnings": [],
        "advice": f"mend that, {again}",
        "timings": _timings(Sums(), 0, 0),
        "created": job.submitted,
    }
    ledger.write_summary(job.job_id, summary)
    return summary

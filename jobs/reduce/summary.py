"""The content of `summary.json`: a job's counts, scores, errors, leaks and timings."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from jobs.records.job import ClassifySpec, Job
from jobs.records.retries import Planned
from jobs.reduce.sums import Sums
from savs.errors import IN_MANIFEST, LedgerError
from savs.scores.calibration import Calibration, calibrate
from savs.scores.class_shares import class_shares
from savs.scores.metrics import Scores, score
from savs.scores.multi import MultiScores, score_multi

# Stages of a shard, in order. `forward` is the time to start a forward pass, and on a CPU all of it.
STAGES = (
    *("read", "fetch", "decode", "preprocess", "copy", "vision", "language", "forward", "readout", "write"),
)


def summarise(job: Job, planned: Planned, sums: Sums, known: int = 0) -> dict[str, Any]:
    """Return the summary of a job; `known` of its rows were read by a pilot and cost it no time."""
    dead = {n: why for n, why in sorted(sums.dead.items()) if n < len(planned.plan)}
    counts, tally = sums.counts, sums.tally
    if counts["rows"] != planned.rows or counts["rows"] != sum(
        counts[k] for k in ("labelled", "abstained", "failed")
    ):
        raise LedgerError(f"job {job.job_id}: {planned.rows} rows were planned and {dict(counts)} counted")
    lost = counts["failed"] == counts["rows"]
    summary: dict[str, Any] = {
        "schema_version": 1,
        "job_id": job.job_id,
        "name": job.spec.name,
        "kind": job.spec.kind,
        "status": "failed" if lost else "incomplete" if dead else "done",
        "rows": planned.rows,
        "shards": len(planned),
        "labelled": counts["labelled"],
        "failed": counts["failed"],
        "abstained": counts["abstained"],
        "classes": dict(sorted(tally.predicted.items())),
        "errors": errors_of(sums),
        "warnings": [
            f"shard {n}, which retried failed rows, was given up ({why}); the rows are unchanged"
            for n, why in sorted(sums.dead.items())
            if n >= len(planned.plan)
        ],
    }
    if lost:
        summary["reason"] = _why_all_failed(planned.rows, summary["errors"], dead)
    if isinstance(job.spec, ClassifySpec):
        if job.spec.zero_shot is None:
            summary["artifact"] = job.spec.artifact
        else:
            summary["zero_shot"] = job.spec.zero_shot.model_dump(exclude_defaults=True)
        if multi := score_multi(tally.multi):
            summary["multi"] = multi_scores_of(multi)
        elif scores := score(tally):
            summary |= scores_of(scores)
            summary["warnings"] += group_warnings(scores)
        else:
            summary |= calibration_of(calibrate(tally.confidences))
        if class_rates := class_shares(tally.probabilities):
            summary["class_shares"] = {name: asdict(rate) for name, rate in class_rates.items()}
        if job.spec.zero_shot is None:
            summary |= _leaks(sums)
        if sums.leaks.unchecked and job.spec.zero_shot is None:
            summary["warnings"].append(
                "the artifact stores nothing to compare rows with, so rows of the training set were not "
                "searched for; extract it again"
            )
    if isinstance(job.spec, ClassifySpec) and job.spec.keep_vectors is not None:
        summary["kept_vectors"] = {name: sums.kept[name] for name in ("rows", "pilot", "bytes")}
    if dead:
        summary["missing"] = [
            {"shard": n, "first_index": s.first_index, "rows": s.rows, "reason": why}
            for n, why in dead.items()
            for s in [planned.shard(n)]
        ]
        summary["advice"] = (
            f"fix the reported causes, then: savs-submit resume {job.spec.name} --retry-failed-shards"
        )
    elif counts["failed"] and (lost or isinstance(job.spec, ClassifySpec)):
        summary["advice"] = _advice(job, counts["failed"], rows_in_manifest(summary["errors"]))
    summary["timings"] = timings_of(
        sums, max(0, counts["rows"] - known), max(0, counts["rows"] - counts["failed"] - known)
    )
    summary["created"] = job.submitted
    return summary


def _why_all_failed(
    rows: int, errors: Mapping[str, Mapping[str, Any]], dead: Mapping[int, str | None]
) -> str:
    why = [f"{count} {kind}" for kind, count in _rows_per_kind(errors).items()]
    if dead:
        number, reason = next(iter(dead.items()))
        more = len(dead) - 1
        why.append(
            f"shard {number} was given up: {reason}" + (f"; {more} more were given up" if more else "")
        )
    return f"all of its {rows} rows failed ({', '.join(why)})"


def _advice(job: Job, failed: int, wrong: int) -> str:
    """Return what to do about `failed` rows, of which `wrong` are wrong in the manifest itself."""
    parts = [wrong_in_manifest(wrong)] if wrong else []
    if failed > wrong:
        rows = "the other rows" if wrong else "rows"
        parts.append(
            f"savs-submit logs {job.spec.name} shows why {rows} failed; fix it, then: "
            f"savs-submit retry {job.spec.name}"
        )
    return "; ".join(parts)


def wrong_in_manifest(count: int) -> str:
    rows = "1 row is" if count == 1 else f"{count} rows are"
    return f"{rows} wrong in the manifest itself ({' or '.join(IN_MANIFEST)}): fix the manifest and run again"


def rows_in_manifest(errors: Mapping[str, Mapping[str, Any]]) -> int:
    """Return how many rows are wrong in the manifest itself, given a summary's `errors`."""
    return sum(rows for kind, rows in _rows_per_kind(errors).items() if kind in IN_MANIFEST)


def _rows_per_kind(errors: Mapping[str, Mapping[str, Any]]) -> dict[str, int]:
    return {kind: int(one["rows"]) for kind, one in errors.items()}


def _leaks(sums: Sums) -> dict[str, Any]:
    """Return the rows that are in the training set, and the scores without them if there are any."""
    leaks = sums.leaks
    if leaks.unchecked:
        return {"leaks": None}
    found = {
        "verified": leaks.verified,
        "unverified": leaks.unverified,
        "rows": [row.model_dump() for row in leaks.rows],
    }
    if not leaks.rows or sums.tally_without_leaks is None:
        return {"leaks": found}
    if multi := score_multi(sums.tally_without_leaks.multi):
        return {"leaks": found, "without_leaks": {"multi": multi_scores_of(multi)}}
    without = score(sums.tally_without_leaks)
    return {"leaks": found} | ({"without_leaks": scores_of(without)} if without else {})


def errors_of(sums: Sums) -> dict[str, dict[str, Any]]:
    """Return per kind of error the number of rows, and the first few of them."""
    return {
        kind: {"rows": rows, "examples": [e.model_dump() for e in sums.examples.get(kind, [])]}
        for kind, rows in sorted(sums.tally.errors.items())
        if rows
    }


def timings_of(sums: Sums, rows: int, good: int) -> dict[str, Any]:
    """Return seconds per stage over all shards; `good` rows, which did not fail, per second of each stage
    alone; rows, tokens and pixels per second of a worker; and the share of that time in which the device was
    busy."""
    seconds, whole = sums.timings, sums.timings["worker"]
    timings: dict[str, Any] = {
        "seconds": {stage: round(seconds[stage], 3) for stage in STAGES if seconds[stage] > 0},
        "items_per_second": {
            stage: round(good / seconds[stage], 1) for stage in STAGES if seconds[stage] > 0
        },
        "worker_seconds": round(whole, 3),
    }
    if whole > 0 and rows:
        timings["items_per_worker_second"] = round(rows / whole, 2)
        for what in ("tokens", "pixels"):
            if sums.work[what]:
                timings[f"{what}_per_worker_second"] = round(sums.work[what] / whole)
        if seconds["device"] > 0:
            timings["device_busy"] = round(seconds["device"] / whole, 3)
    return timings


def scores_of(scores: Scores) -> dict[str, Any]:
    """Return the scores of a summary. Those that the rows do not allow are left out."""
    fields = {
        "scored": scores.rows,
        "accuracy": scores.accuracy,
        "accuracy_interval": scores.accuracy_interval,
        "balanced_accuracy": scores.balanced_accuracy,
        "macro_f1": scores.macro_f1,
        "mean_average_precision": scores.mean_average_precision,
        "per_class": {name: asdict(one) for name, one in scores.classes.items()},
        "per_class_accuracy": scores.per_class,
        "confusion": scores.confusion,
        "splits": {split: asdict(rate) for split, rate in scores.splits.items()} or None,
        "groups": {format: asdict(one) for format, one in scores.groups.items()} or None,
    }
    fields |= calibration_of(scores.calibration)
    return {name: value for name, value in fields.items() if value is not None}


def multi_scores_of(scores: MultiScores) -> dict[str, Any]:
    """Return the scores of a summary of rows with several labels. Those that the rows do not allow are left
    out."""
    fields = {
        "scored": scores.rows,
        "exact_match": scores.exact_match,
        "exact_match_interval": scores.exact_match_interval,
        "micro_f1": scores.micro_f1,
        "macro_f1": scores.macro_f1,
        "mean_average_precision": scores.mean_average_precision,
        "labels": {name: asdict(one) for name, one in scores.labels.items()},
    }
    return {name: value for name, value in fields.items() if value is not None}


def calibration_of(found: Calibration | None) -> dict[str, Any]:
    """Return the scores of confidence of a summary; empty if no row has a label and a confidence."""
    if found is None:
        return {}
    return {
        "ece": found.ece,
        "reliability": [asdict(one) for one in found.reliability],
        "risk_coverage": [asdict(one) for one in found.risk_coverage],
        "aurc": found.aurc,
    }


def group_warnings(scores: Scores) -> list[str]:
    """Return warnings about unexpected groups of rows that are scored together."""
    warnings = []
    for format, groups in scores.groups.items():
        if groups.unlike:
            warnings.append(
                f"{groups.unlike} of {groups.scored} groups do not show the images that {format} requires; "
                "check that the rows are those of the published file, in its order"
            )
        if groups.doubled:
            warnings.append(
                f"{groups.doubled} groups have several rows with the same label and are not scored"
            )
    return warnings

"""The scores of splits, or of tasks that share a pass, side by side."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from jobs.records.job import ClassifySpec, Job


@dataclass(frozen=True)
class SplitScore:
    """One split. The accuracies are None if no row has a label or the job has not ended.

    rows           that have a label and a prediction
    without_leaks  accuracy without rows of the training set, if there are any
    """

    split: str
    job_id: str
    rows: int
    accuracy: float | None
    accuracy_interval: tuple[float, float] | None
    without_leaks: float | None


@dataclass(frozen=True)
class Mean:
    """A mean of accuracies, with its interval of 95 %."""

    accuracy: float
    accuracy_interval: tuple[float, float]


@dataclass(frozen=True)
class SplitScores:
    """All splits of a name, or all tasks that share a pass through the model, according to `kind`.

    macro  mean of the splits' accuracies, with equal weights
    micro  accuracy of all their rows together
    """

    kind: str
    name: str
    splits: tuple[SplitScore, ...]
    macro: Mean | None
    micro: Mean | None


def split_scores(jobs: Sequence[Job], summaries: Sequence[dict[str, Any]]) -> list[SplitScores]:
    """Return a table of the splits of each name in `jobs`, from the summaries of jobs that have ended."""
    ended = {summary["job_id"]: summary for summary in summaries}
    tables: dict[tuple[str, str], list[SplitScore]] = {}
    for job in jobs:
        if isinstance(job.spec, ClassifySpec) and job.spec.split is not None:
            one = _score(job, job.spec.split, ended.get(job.job_id, {}))
            kind = "splits" if job.spec.together is None else "tasks"
            tables.setdefault((kind, job.spec.family), []).append(one)
    found = []
    for (kind, name), splits in tables.items():
        scored = [split for split in splits if split.accuracy is not None]
        same, by_rows = (_mean(scored, weights) for weights in ([1] * len(scored), [s.rows for s in scored]))
        found.append(SplitScores(kind, name, tuple(splits), same, by_rows))
    return found


def _score(job: Job, split: str, summary: dict[str, Any]) -> SplitScore:
    interval = summary.get("accuracy_interval")
    return SplitScore(
        split=split,
        job_id=job.job_id,
        rows=summary.get("scored", 0),
        accuracy=summary.get("accuracy"),
        accuracy_interval=interval and (interval[0], interval[1]),
        without_leaks=summary.get("without_leaks", {}).get("accuracy"),
    )


def _mean(splits: Sequence[SplitScore], weights: Sequence[int]) -> Mean | None:
    """Return the weighted mean of the splits' accuracies; None without splits.

    Its interval is combined from theirs, which may be of any kind: the squared distances from
    the mean to its ends are the sums of the squared, weighted distances of the splits' (MOVER; Zou, Huang and
    Zhang 2009, "A note on confidence interval estimation for a linear function of binomial proportions").
    """
    if not splits:
        return None
    total = sum(weights)
    parts = [
        (w / total, s.accuracy, *s.accuracy_interval)
        for w, s in zip(weights, splits, strict=True)
        if s.accuracy is not None and s.accuracy_interval is not None
    ]
    mean = math.fsum(w * rate for w, rate, _, _ in parts)
    below = math.sqrt(math.fsum((w * (rate - low)) ** 2 for w, rate, low, _ in parts))
    above = math.sqrt(math.fsum((w * (high - rate)) ** 2 for w, rate, _, high in parts))
    return Mean(mean, (mean - below, mean + above))

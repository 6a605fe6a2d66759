"""Compares two jobs that labelled the same rows, and tests whether their difference may be chance."""

import math
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from jobs.ledger.checked_rows import checked_rows
from jobs.ledger.ledger import Ledger
from jobs.records.job import ClassifySpec, Job
from savs.errors import BadRow, JobError
from savs.scores.clusters import Cell, Clusters, RatePart
from savs.scores.intervals import Z95, rate_of
from savs.scores.scored import Scored


@dataclass(frozen=True)
class Comparison:
    """Rows with a label that both jobs have; a row that failed or abstained counts as wrong. Of jobs with
    several labels per item, a row is right if exactly its labels were predicted.

    accuracies  of the first and of the second job, `intervals` of 95 % (`savs.scores.intervals`)
    difference  the second's accuracy minus the first's, with its interval of 95 % (`paired_interval`)
    p           of McNemar's exact test, two-sided: the probability that the rows that only one job has right
                are divided at least this unevenly if neither is better; assumes independent rows
    """

    jobs: tuple[str, str]
    rows: int
    both_right: int
    only_first: int
    only_second: int
    neither: int
    accuracies: tuple[float, float]
    intervals: tuple[tuple[float, float], tuple[float, float]]
    difference: float
    difference_interval: tuple[float, float]
    p: float


def compare_jobs(ledger: Ledger, first: Job, second: Job) -> Comparison:
    """Compare two classify jobs row by row. If their manifests are two files, the rows with the same index
    must show the same media. Raises JobError if their rows are not the same."""
    for job in (first, second):
        if not isinstance(job.spec, ClassifySpec):
            raise JobError(f"{job.job_id} is not a classify job; name one that is")
    sources = [(job.spec.source.url, job.spec.source.etag) for job in (first, second)]
    one_file = sources[0] == sources[1]
    counts: Counter[tuple[int, int]] = Counter()
    clusters = Clusters()
    if not one_file and ledger.planned(first.job_id).rows != ledger.planned(second.job_id).rows:
        raise _not_the_same(first, second, "they have different numbers of rows")
    for one, other in _shared(checked_rows(ledger, first), checked_rows(ledger, second)):
        if (difference := _difference(one, other, one_file)) is not None:
            raise _not_the_same(first, second, difference)
        if ("predictions" in one) != ("predictions" in other):
            several, single = (first, second) if "predictions" in one else (second, first)
            raise JobError(
                f"{several.job_id} gives items several labels and {single.job_id} gives each one, so they "
                "cannot be compared; compare two jobs of the same kind"
            )
        label = one.get("label") if one.get("label") is not None else other.get("label")
        if label is not None:
            right = _right(one, label), _right(other, label)
            counts[right] += 1
            clusters.add(Cell(right), _cluster(one, first.spec.source.format))
    rows = counts.total()
    if not rows:
        raise JobError(f"{first.job_id} and {second.job_id} share no row that has a label")
    one_only, other_only = counts[1, 0], counts[0, 1]
    sizes = clusters.sizes(_each)
    rates = rate_of(sizes["first", None]), rate_of(sizes["second", None])
    return Comparison(
        jobs=(first.job_id, second.job_id),
        rows=rows,
        both_right=counts[1, 1],
        only_first=one_only,
        only_second=other_only,
        neither=counts[0, 0],
        accuracies=(rates[0].rate, rates[1].rate),
        intervals=(rates[0].interval, rates[1].interval),
        difference=(other_only - one_only) / rows,
        difference_interval=paired_interval(one_only, other_only, rows),
        p=mcnemar(one_only, other_only),
    )


def _shared(
    first: Iterator[dict[str, Any]], second: Iterator[dict[str, Any]]
) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """Yield pairs of rows with the same index; both are in order of index, and either may lack some."""
    one, other = next(first, None), next(second, None)
    while one is not None and other is not None:
        if one["index"] == other["index"]:
            yield one, other
            one, other = next(first, None), next(second, None)
        elif one["index"] < other["index"]:
            one = next(first, None)
        else:
            other = next(second, None)


def _difference(one: dict[str, Any], other: dict[str, Any], one_file: bool) -> str | None:
    """Return in what two rows of the same index differ, so that they are not the same item; else None. In one
    file it is the same item, but two tasks may have different labels for it."""
    if any((row.get("error") or {}).get("kind") == BadRow.kind for row in (one, other)):
        return None  # such a row tells nothing of its item
    fields = ("media", "label") if one.get("media") else ("media", "id", "label")
    for what in ("label",) if one_file else fields:
        found = one.get(what), other.get(what)
        if found[0] != found[1] and (what != "label" or None not in found):
            return f"row {one['index']} has the {what} {found[0]!r} in one and {found[1]!r} in the other"
    return None


def _not_the_same(first: Job, second: Job, why: str) -> JobError:
    return JobError(
        f"{first.job_id} labels {first.spec.source.url} and {second.job_id} labels "
        f"{second.spec.source.url}, and {why}: only jobs on the same rows can be compared, and only if these "
        "have the same labels"
    )


def _right(row: dict[str, Any], label: Any) -> int:
    """Return whether a row's prediction is its label; of several labels, whether all are right."""
    if "predictions" not in row:
        return int(row["prediction"] == label)
    labels = {label} if isinstance(label, str) else set(label)
    return int("error" not in row and set(row["predictions"]) == labels)


def _cluster(row: dict[str, Any], format: str) -> int | None:
    return Scored(row["index"], format=format, media=tuple(row.get("media", ()))).cluster


def _each(cell: Cell) -> Iterable[RatePart]:
    """Return what a row adds to the accuracy of each job."""
    first, second = cell.outcome
    return [(("first", None), 1, first), (("second", None), 1, second)]


def mcnemar(only_first: int, only_second: int) -> float:
    """Return the exact two-sided p-value: a binomial test of one half on discordant pairs (McNemar 1947)."""
    discordant = only_first + only_second
    if not discordant:
        return 1.0
    logs = (
        math.lgamma(discordant + 1) - math.lgamma(k + 1) - math.lgamma(discordant - k + 1)
        for k in range(min(only_first, only_second) + 1)
    )
    tail = math.fsum(math.exp(log - discordant * math.log(2)) for log in logs)
    return min(1.0, 2 * tail)


def paired_interval(only_first: int, only_second: int, rows: int) -> tuple[float, float]:
    """Return the 95 % interval of the second's accuracy minus the first's, on the same rows: Wald's, after
    one half is added to each of the four counts (Agresti and Min 2005).

    It is therefore not a point if the two never differ. It is cut at -1 and 1, and its middle is slightly
    nearer to 0 than the difference.
    """
    total = rows + 2
    middle = (only_second - only_first) / total
    variance = ((only_first + only_second + 1) / total - middle**2) / total
    half = Z95 * math.sqrt(variance)
    return max(-1.0, middle - half), min(1.0, middle + half)

"""What a report consists of: numbers, tables, charts and items, as the template and the script want them."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from heapq import nlargest
from typing import Any

from jobs.records.job import ClassifySpec, Job
from jobs.reduce.comparison import Comparison
from jobs.report.charts.chart import Chart
from jobs.report.charts.classes import class_chart, curve_chart, share_chart
from jobs.report.charts.confidence import confidence_chart, reliability_chart, risk_chart
from jobs.report.charts.heads import head_chart
from jobs.report.charts.work import stage_chart, timeline_chart
from jobs.report.facts import Spent, facts_of
from jobs.report.heads import HeadMap, map_heads
from jobs.report.html import render_page
from jobs.report.overview import MAX_CLASSES, class_table, confusion_of, confusions_of, failures_of, tiles_of
from jobs.report.survey import Survey
from jobs.report.texts import LONG, shorten
from jobs.report.timeline import Busy
from savs.artifact.artifact import Artifact


@dataclass(frozen=True)
class Findings:
    """Everything that a page shows.

    artifact  the job's; None if it is zero-shot or the artifact is gone
    items     of the gallery
    doubted   rows and examples whose label is likely wrong; `wrong` is how many such rows there are
    others    names of the jobs that it is compared with, in the order of `compared`
    spent     the time of workers
    price     of an hour of a worker; None if it is not known
    """

    job: Job
    summary: Mapping[str, Any]
    artifact: Artifact | None
    survey: Survey
    items: Sequence[Mapping[str, Any]]
    doubted: Sequence[Mapping[str, Any]]
    wrong: int
    others: Sequence[str]
    compared: Sequence[Comparison]
    busy: Sequence[Busy]
    spent: Spent
    price: float | None


def make_page(found: Findings) -> bytes:
    """Return the page in UTF-8."""
    heads = None if found.artifact is None else map_heads(found.artifact)
    head = None if heads is None else head_chart(heads)
    classes, confidence, work = _class_charts(found), _confidence_charts(found), _work_charts(found)
    multi = "multi" in found.summary or any("predictions" in one for one in found.items)
    context = {
        "job": found.job,
        "summary": found.summary,
        "tiles": tiles_of(found.summary, found.survey),
        "warnings": found.summary.get("warnings", ()),
        "comparisons": found.compared,
        "class_charts": classes,
        "classes": class_table(found.summary),
        "confusion": confusion_of(found.summary),
        "confusions": confusions_of(found.summary),
        "confidence": confidence,
        "heads": head,
        "gallery_note": _note(found),
        "items_shown": len(found.items),
        "labels_shown": len(found.doubted),
        "failures": failures_of(found.summary),
        "facts": facts_of(found.job, found.artifact, found.spent, _ended(found.busy), found.price),
        "work": work,
        "multi": multi,
    }
    data = {
        "task": found.job.spec.split and next((one["task"] for one in found.items), None),
        "multi": multi,
        "classes": _classes(found),
        "items": found.items,
        "wrong": found.doubted,
        "others": found.others,
        "heads": None if heads is None else _cells(heads),
    }
    charts = [*classes, *confidence, *([] if head is None else [head]), *work]
    return render_page(context, charts, data)


def _class_charts(found: Findings) -> list[Chart]:
    charts = []
    if per_class := found.summary.get("per_class") or (found.summary.get("multi") or {}).get("labels"):
        charts.append(class_chart(per_class))
    if found.survey.labels:
        charts.append(curve_chart(found.survey))
    if shares := found.summary.get("class_shares"):
        charts.append(share_chart(shares))
    return charts


def _confidence_charts(found: Findings) -> list[Chart]:
    charts = []
    if found.survey.confidences:
        charts.append(confidence_chart(found.survey, _threshold(found)))
    if bins := found.summary.get("reliability"):
        charts.append(reliability_chart(bins, found.summary["ece"]))
    if points := found.summary.get("risk_coverage"):
        charts.append(risk_chart(points))
    return charts


def _threshold(found: Findings) -> float | None:
    """Return the confidence below which rows have no prediction: the one that was asked for, or, if a
    precision was, the lowest of a row with a prediction."""
    assert isinstance(found.job.spec, ClassifySpec)
    decision = found.job.spec.decision
    return found.survey.least if decision.target_precision is not None else decision.abstain_below


def _work_charts(found: Findings) -> list[Chart]:
    charts = []
    if seconds := found.summary["timings"].get("seconds"):
        charts.append(stage_chart(seconds))
    if found.busy:
        charts.append(timeline_chart(found.busy))
    return charts


def _ended(busy: Sequence[Busy]) -> Any:
    return max((one.ended for one in busy), default=None)


def _classes(found: Findings) -> list[str]:
    """Return the classes that a correction may name, in the artifact's order; of generated texts, the most
    frequent ones. Names that the page cuts are left out."""
    assert isinstance(found.job.spec, ClassifySpec)
    zero_shot, predicted = found.job.spec.zero_shot, found.summary["classes"]
    if found.artifact is not None:
        names: Iterable[str] = found.artifact.manifest.classes
    elif zero_shot is not None and zero_shot.classes:
        names = zero_shot.classes
    else:
        names = sorted(nlargest(MAX_CLASSES, predicted, key=predicted.__getitem__))
    return [name for name in names if len(name) <= LONG]


def _cells(heads: HeadMap) -> dict[str, Any]:
    return {
        "classes": [shorten(name) for name in heads.classes],
        "examples": heads.examples,
        "cells": [asdict(head) for head in heads.heads],
    }


def _note(found: Findings) -> str:
    """Return what the gallery shows of the rows."""
    shown, rows = len(found.items), found.summary["rows"]
    part = f"All {rows:,} items" if shown == rows else f"A sample of {shown:,} of {rows:,} items"
    if found.wrong:
        part = f"The model contradicts {found.wrong:,} labels confidently. {part}"
    return f"{part}: the most doubtful first, a random draw of each class, mistakes, and errors."

"""Charts of classes: their shares, recall and precision."""

from collections.abc import Mapping
from typing import Any

import altair as alt

from jobs.report.charts.chart import RIGHT, WRONG, Cell, Chart, chart_of, data_of, legend
from jobs.report.survey import Survey

MAX_BARS = 40  # classes in a chart; the table has all


def share_chart(shares: Mapping[str, Mapping[str, Any]]) -> Chart:
    """The share of each class in the corpus, with intervals. `shares` is `class_shares` of a summary."""
    columns = ["class", "share", "low", "high"]
    ranked = sorted(shares.items(), key=lambda item: -item[1]["rate"])
    rows = [[name, one["rate"], *one["interval"]] for name, one in ranked]
    base = alt.Chart(data_of(columns, rows[:MAX_BARS])).encode(
        y=alt.Y("class:N", sort=None, title=None, axis=alt.Axis(labelLimit=140))
    )
    percent = alt.Axis(format="%")
    bars = base.mark_bar(color=RIGHT, opacity=0.75).encode(
        x=alt.X("share:Q", title="share of the corpus", axis=percent),
        tooltip=["class:N", alt.Tooltip("share:Q", format=".1%")],
    )
    lines = base.mark_rule(strokeWidth=2).encode(x="low:Q", x2="high:Q")
    return chart_of(
        "shares",
        "Share of each class",
        "Mean probability of each class over all rows, with a 95 % interval. It holds as far as confidences "
        "are calibrated.",
        (bars + lines).properties(width="container", height=22 * len(rows[:MAX_BARS])),
        columns,
        rows,
    )


def class_chart(per_class: Mapping[str, Mapping[str, Any]]) -> Chart:
    """Recall and precision of each class, with intervals. `per_class` is that of a summary."""
    columns = ["class", "score", "value", "low", "high"]
    rows = [
        [name, score, one[score], *(one.get(f"{score}_interval") or (one[score], one[score]))]
        for name, one in per_class.items()
        for score in ("recall", "precision")
        if one.get(score) is not None
    ]
    worst = sorted(per_class, key=lambda name: per_class[name].get("f1") or 0.0)[:MAX_BARS]
    # In this order, since a list of names to sort by becomes an expression, which not all names survive.
    shown = [row for name in worst for row in rows if row[0] == name]
    base = alt.Chart(data_of(columns, shown)).encode(
        y=alt.Y("class:N", sort=None, title=None, axis=alt.Axis(labelLimit=140)), yOffset="score:N"
    )
    points = base.mark_point(filled=True, size=60).encode(
        x=alt.X("value:Q", title=None, axis=alt.Axis(format="%"), scale=alt.Scale(domain=[0, 1])),
        color=alt.Color("score:N", scale=alt.Scale(range=[WRONG, RIGHT]), legend=legend()),
        shape=alt.Shape("score:N", legend=legend()),
        tooltip=["class:N", "score:N", alt.Tooltip("value:Q", format=".1%")],
    )
    lines = base.mark_rule(opacity=0.6).encode(x="low:Q", x2="high:Q")
    few = "" if len(worst) == len(per_class) else f" The {len(worst)} classes with the lowest F1 are drawn."
    return chart_of(
        "classes",
        "Recall and precision of each class",
        "Recall: of the rows with this label, the share that was predicted. Precision: of the rows predicted "
        f"as this class, the share that has the label. Lines are 95 % intervals.{few}",
        (lines + points).properties(width="container", height=40 * len(worst)),
        columns,
        rows,
    )


def curve_chart(found: Survey) -> Chart:
    """Precision against recall of each class, as its score decides."""
    columns = ["class", "score", "recall", "precision"]
    rows: list[list[Cell]] = [
        [name, point.score, point.recall, point.precision]
        for name, points in found.curves().items()
        for point in points
    ]
    unit = alt.Scale(domain=[0, 1])
    line = (
        alt.Chart(data_of(columns, rows))
        .mark_line(point=alt.OverlayMarkDef(size=12))
        .encode(
            x=alt.X("recall:Q", scale=unit, axis=alt.Axis(format="%")),
            y=alt.Y("precision:Q", scale=unit, axis=alt.Axis(format="%")),
            order=alt.Order("score:Q", sort="descending"),
            color=alt.Color("class:N", legend=legend(), scale=alt.Scale(scheme="tableau20")),
            tooltip=[
                "class:N",
                "score:Q",
                *(alt.Tooltip(f"{n}:Q", format=".1%") for n in ("recall", "precision")),
            ],
        )
    )
    return chart_of(
        "curves",
        "Precision and recall at every threshold",
        "Each point is a threshold of the score for the class: rows at or above it are counted as found.",
        line.properties(width="container", height=280),
        columns,
        rows,
    )

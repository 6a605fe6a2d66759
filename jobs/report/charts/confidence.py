"""Charts of confidence: how often which, how often right, and what is lost by a threshold."""

from collections.abc import Mapping, Sequence
from typing import Any

import altair as alt

from jobs.report.charts.chart import RIGHT, UNKNOWN, WRONG, Cell, Chart, chart_of, data_of, legend
from jobs.report.survey import BINS, Survey


def confidence_chart(found: Survey, threshold: float | None) -> Chart:
    """Histogram of confidence, with the threshold in force."""
    columns = ["from", "to", "rows are", "rows"]
    rows: list[list[Cell]] = [
        [bin / BINS, (bin + 1) / BINS, what, count]
        for (bin, what), count in sorted(found.confidences.items())
    ]
    kinds = {"right": RIGHT, "wrong": WRONG, "not known": UNKNOWN}
    known = [what for what in kinds if any(row[2] == what for row in rows)]
    bars = (
        alt.Chart(data_of(columns, rows))
        .mark_bar()
        .encode(
            x=alt.X("from:Q", bin="binned", title="confidence", scale=alt.Scale(domain=[0, 1])),
            x2="to:Q",
            y=alt.Y("rows:Q", stack=True),
            color=alt.Color(
                "rows are:N",
                scale=alt.Scale(domain=known, range=[kinds[what] for what in known]),
                legend=legend() if known != ["not known"] else None,
            ),
            tooltip=["from:Q", "to:Q", "rows are:N", "rows:Q"],
        )
    )
    drawn: Any = bars
    how = "How many rows have which confidence."
    if threshold:
        line = alt.Chart(data_of(["threshold"], [[threshold]])).mark_rule(strokeDash=[4, 4], strokeWidth=2)
        drawn = bars + line.encode(x="threshold:Q")
        how += f" Rows below {threshold:.3f}, the dashed line, have no prediction."
    return chart_of(
        "confidence", "Confidence", how, drawn.properties(width="container", height=220), columns, rows
    )


def reliability_chart(bins: Sequence[Mapping[str, Any]], ece: float) -> Chart:
    """Accuracy against confidence. `bins` are `reliability` of a summary."""
    columns = ["confidence", "accuracy", "rows"]
    rows = [[one["confidence"], one["accuracy"], one["rows"]] for one in bins]
    unit, percent = alt.Scale(domain=[0, 1]), alt.Axis(format="%")
    ideal = alt.Chart(data_of(["x", "y"], [[0, 0], [1, 1]])).mark_line(strokeDash=[4, 4], color=UNKNOWN)
    points = (
        alt.Chart(data_of(columns, rows))
        .mark_line(point=alt.OverlayMarkDef(filled=True, size=50), color=RIGHT)
        .encode(
            x=alt.X("confidence:Q", scale=unit, axis=percent),
            y=alt.Y("accuracy:Q", scale=unit, axis=percent),
            tooltip=[*(alt.Tooltip(f"{n}:Q", format=".1%") for n in ("confidence", "accuracy")), "rows:Q"],
        )
    )
    drawn = ideal.encode(x=alt.X("x:Q", title="confidence"), y=alt.Y("y:Q", title="accuracy")) + points
    return chart_of(
        "reliability",
        "Reliability",
        "On the dashed line, of rows with confidence 80 % four of five are right. Below it, confidence is "
        f"too high. Mean distance (ECE): {ece:.3f}.",
        drawn.properties(width="container", height=280),
        columns,
        rows,
    )


def risk_chart(points: Sequence[Mapping[str, Any]]) -> Chart:
    """Error against coverage. `points` are `risk_coverage` of a summary."""
    columns = ["coverage", "error", "confidence", "rows"]
    rows = [[one[name] for name in columns] for one in points]
    percent = alt.Axis(format="%")
    line = (
        alt.Chart(data_of(columns, rows))
        .mark_line(point=alt.OverlayMarkDef(filled=True, size=50), color=WRONG)
        .encode(
            x=alt.X("coverage:Q", axis=percent, scale=alt.Scale(domain=[0, 1])),
            y=alt.Y("error:Q", axis=percent),
            tooltip=[
                alt.Tooltip("coverage:Q", format=".0%"),
                alt.Tooltip("error:Q", format=".1%"),
                "confidence:Q",
                "rows:Q",
            ],
        )
    )
    return chart_of(
        "risk",
        "Error if only confident rows are kept",
        "Coverage: the share of rows that is kept, the most confident first. Error: the share of them "
        "that is wrong.",
        line.properties(width="container", height=220),
        columns,
        rows,
    )

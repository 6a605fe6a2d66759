"""The map of heads as a chart."""

import altair as alt

from jobs.report.charts.chart import UNKNOWN, Cell, Chart, chart_of, data_of, legend
from jobs.report.heads import HeadMap

CELL = 26  # pixels


def head_chart(found: HeadMap) -> Chart:
    """Layer × head, each cell with the head's score; the chosen ones are marked unless all are."""
    columns = ["layer", "head", "right", "share", "rank"]
    share = [None if one.score is None else one.score / max(1, found.examples) for one in found.heads]
    rows: list[list[Cell]] = [
        [one.layer, one.head, one.score, part, one.rank] for one, part in zip(found.heads, share, strict=True)
    ]
    base = alt.Chart(data_of(columns, rows)).encode(
        x=alt.X("head:O", title="head", axis=alt.Axis(labelAngle=0, labelOverlap=True)),
        y=alt.Y("layer:O", title="layer", sort="descending"),
        tooltip=["layer:O", "head:O", "right:Q", alt.Tooltip("share:Q", format=".0%"), "rank:Q"],
    )
    scored = found.heads[0].score is not None
    colour = alt.Color(
        "share:Q", title="right alone", scale=alt.Scale(scheme="viridis"), legend=legend(format="%")
    )
    cells = base.mark_rect().encode(color=colour if scored else alt.value(UNKNOWN))
    chosen = base.transform_filter("datum.rank !== null").mark_point(
        filled=True, size=60, color="white", stroke="black", strokeWidth=1, opacity=1
    )
    layers, heads = len({one.layer for one in found.heads}), len({one.head for one in found.heads})
    some = any(one.rank is None for one in found.heads)
    drawn = (cells + chosen if some else cells).properties(width=CELL * heads, height=CELL * layers)
    what = (
        "its colour is the share of the examples that it labels right alone, by the nearest class centroid. "
    )
    which = "Dots are the heads that the readout uses." if some else "The readout uses all of them."
    return chart_of(
        "heads",
        "The map of heads",
        f"Each cell is an attention head of the model{'; ' + what if scored else '. '}{which}",
        drawn,
        columns,
        [row for row in rows if row[4] is not None],
    )

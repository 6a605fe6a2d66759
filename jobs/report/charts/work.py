"""Charts of the work: time per stage, and of each worker."""

from collections.abc import Mapping, Sequence

import altair as alt

from jobs.report.charts.chart import MARK, Cell, Chart, chart_of, data_of
from jobs.report.timeline import Busy


def stage_chart(seconds: Mapping[str, float]) -> Chart:
    """Seconds of all workers per stage. `seconds` are those of a summary's timings."""
    columns = ["stage", "seconds"]
    rows: list[list[Cell]] = [[stage, spent] for stage, spent in seconds.items()]
    bars = (
        alt.Chart(data_of(columns, rows))
        .mark_bar(color=MARK)
        .encode(
            y=alt.Y("stage:N", sort=None, title=None),
            x=alt.X("seconds:Q", title="seconds, all workers"),
            tooltip=["stage:N", "seconds:Q"],
        )
    )
    return chart_of(
        "stages",
        "Time per stage",
        "Seconds that workers spent in each stage. Stages overlap: they may add up to more than the whole.",
        bars.properties(width="container", height=24 * len(rows)),
        columns,
        rows,
    )


def timeline_chart(busy: Sequence[Busy]) -> Chart:
    """When each worker ran shards."""
    columns = ["worker", "began", "ended", "shards"]
    rows: list[list[Cell]] = [
        [one.worker, one.began.isoformat(), one.ended.isoformat(), one.shards] for one in busy
    ]
    bars = (
        alt.Chart(data_of(columns, rows))
        .mark_bar(color=MARK, minBandSize=2)
        .encode(
            y=alt.Y("worker:N", sort=None, title=None, axis=alt.Axis(labelLimit=140)),
            x=alt.X("began:T", title="time"),
            x2="ended:T",
            tooltip=["worker:N", "began:T", "ended:T", "shards:Q"],
        )
    )
    return chart_of(
        "timeline",
        "Workers",
        "When each worker ran shards of this job. Gaps are other jobs, or waiting.",
        bars.properties(width="container", height=24 * len({one.worker for one in busy})),
        columns,
        rows,
    )

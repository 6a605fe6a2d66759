"""A chart: a Vega-Lite spec made by Altair, with its numbers as a table, for people who do not see it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import altair as alt

from jobs.report.texts import shorten

# Colours that people with colour blindness can tell apart (Okabe and Ito 2008).
RIGHT, WRONG, UNKNOWN, MARK = "#0072b2", "#d55e00", "#7f7f7f", "#009e73"
TAKEN = {
    *("constructor", "hasOwnProperty", "isPrototypeOf", "propertyIsEnumerable", "toLocaleString", "toString"),
    *("valueOf", "__proto__", "__defineGetter__", "__defineSetter__", "__lookupGetter__", "__lookupSetter__"),
}  # properties of every object of JavaScript
Cell = str | int | float | None


@dataclass(frozen=True)
class Chart:
    """A chart. `how` tells how to read it; `columns` and `rows` are its numbers."""

    name: str
    title: str
    how: str
    spec: Mapping[str, Any]
    columns: Sequence[str]
    rows: Sequence[Sequence[Cell]]


def chart_of(
    name: str, title: str, how: str, drawn: Any, columns: Sequence[str], rows: Sequence[Sequence[Cell]]
) -> Chart:
    """Return the chart of an Altair chart; the other arguments are fields of a `Chart`."""
    fitted = {"autosize": {"type": "fit-x", "contains": "padding"}}  # to the width of the page
    return Chart(name, title, how, drawn.to_dict() | fitted, columns, rows)


def _drawable(cell: Cell) -> Cell:
    """Return a cell for Vega, which groups by names in objects that have some already, as `constructor`."""
    return f"\u2060{cell}" if cell in TAKEN else shorten(cell)


def data_of(columns: Sequence[str], rows: Sequence[Sequence[Cell]]) -> Any:
    """Return data for Altair: one object per row."""
    return alt.InlineData(values=[dict(zip(columns, map(_drawable, row), strict=True)) for row in rows])


def legend(**more: Any) -> Any:
    """Return a legend below the chart, where a narrow page has room for it."""
    return alt.Legend(orient="bottom", columns=4, labelLimit=120, **more)

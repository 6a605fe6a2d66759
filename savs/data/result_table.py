"""Result rows as tables of pandas and Arrow: the columns and their types."""

import json
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from savs.errors import NotInstalled

if TYPE_CHECKING:
    import pandas
    import pyarrow

Row = dict[str, Any]
COLUMNS = (
    *("index", "id", "task", "media", "prediction", "predictions", "confidence", "margin", "entropy"),
    *("votes", "scores", "label", "labels", "error", "message", "artifact", "extra"),
)
NUMBERS = ("confidence", "margin", "entropy")  # the columns of float64
LISTS = ("media", "predictions", "labels")


def cells_of(row: Row, columns: Sequence[str] = COLUMNS) -> Row:
    """Return the values of a result row by column: a list of labels is in `labels`, one text in `label`."""
    error, label = row.get("error") or {}, row.get("label")
    several = isinstance(label, list | tuple)
    cells = row | {
        "label": None if several else label,
        "labels": label if several else None,
        "error": error.get("kind"),
        "message": error.get("message"),
    }
    return {name: cells.get(name) for name in columns}


def to_pandas(rows: Iterable[Row], columns: Sequence[str] = COLUMNS) -> "pandas.DataFrame":
    """Return a DataFrame of result rows: `votes`, `scores` and `extra` are dicts, `media`, `predictions` and
    `labels` lists. Raises NotInstalled if pandas is not installed."""
    try:
        import pandas
    except ImportError as error:
        raise NotInstalled("a DataFrame needs pandas: pip install 'savs[notebook]'") from error
    cells = [cells_of(row, columns) for row in rows]
    types: dict[str, Any] = {name: "float64" for name in columns if name in NUMBERS}
    if "index" in columns:
        types["index"] = "int64"
    for row in cells:
        row |= {name: list(row[name]) for name in LISTS if row.get(name) is not None}
    found: pandas.DataFrame = pandas.DataFrame(cells, columns=list(columns)).astype(types)
    return found


def to_arrow(rows: Iterable[Row], columns: Sequence[str] = COLUMNS) -> "pyarrow.Table":
    """Return an Arrow table of result rows: `votes` and `scores` are maps, `extra` is JSON. Raises
    NotInstalled if pyarrow is not installed."""
    try:
        from pyarrow import Table
    except ImportError as error:
        raise NotInstalled("an Arrow table needs pyarrow: pip install 'savs[parquet]'") from error
    return Table.from_pylist([typed(cells_of(row, columns)) for row in rows], schema_of(columns))


def typed(cells: Row) -> Row:
    """Return the cells with the types of `schema_of`."""
    maps = {name: [*(cells[name] or {}).items()] for name in ("votes", "scores") if name in cells}
    extra = cells.get("extra")
    written = {} if extra is None else {"extra": json.dumps(extra, default=str)}
    return cells | maps | written


def schema_of(columns: Sequence[str] = COLUMNS) -> "pyarrow.Schema":
    """Return the schema of an Arrow table with these columns."""
    import pyarrow as pa

    text, number = pa.string(), pa.float64()
    types = dict.fromkeys(COLUMNS, text) | {
        "index": pa.int64(),
        **dict.fromkeys(NUMBERS, number),
        **dict.fromkeys(LISTS, pa.list_(text)),
        "votes": pa.map_(text, pa.int64()),
        "scores": pa.map_(text, number),
    }
    return pa.schema([(name, types[name]) for name in columns])

"""Result rows as a table: Parquet, CSV, or JSON lines."""

import csv
import io
import json
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from savs.errors import SettingsError

if TYPE_CHECKING:
    import pyarrow

Row = dict[str, Any]
ROWS_AT_ONCE = 10_000
COLUMNS = (
    *("index", "id", "task", "media", "prediction", "predictions", "confidence", "margin", "entropy"),
    *("votes", "scores", "label", "labels", "error", "message", "artifact", "extra"),
)
FORMULA = ("=", "+", "-", "@", "\t", "\r")  # with which spreadsheets begin to calculate
NUMBERS = ("index", "confidence", "margin", "entropy")


def cells_of(row: Row) -> Row:
    """Return the values of a result row by column: a list of labels is in `labels`, one text in `label`."""
    error, label = row.get("error") or {}, row.get("label")
    cells = {name: row.get(name) for name in COLUMNS}
    return cells | {
        "label": None if isinstance(label, list) else label,
        "labels": label if isinstance(label, list) else None,
        "error": error.get("kind"),
        "message": error.get("message"),
    }


def write_parquet(rows: Iterable[Row], path: Path | IO[bytes]) -> int:
    """Write rows into a Parquet file, many at a time, and return their number. `votes` and `scores` are maps,
    `extra` is JSON. Raises SettingsError if pyarrow is not installed."""
    try:
        from pyarrow import Table
        from pyarrow.parquet import ParquetWriter
    except ImportError as error:
        raise SettingsError("Parquet needs pyarrow: pip install 'savs[parquet]'") from error
    schema, count, left = _schema(), 0, iter(rows)
    with ParquetWriter(path, schema, compression="zstd") as writer:
        while some := [_typed(cells_of(row)) for row in islice(left, ROWS_AT_ONCE)]:
            writer.write_table(Table.from_pylist(some, schema))
            count += len(some)
    return count


def _typed(cells: Row) -> Row:
    extra = None if cells["extra"] is None else json.dumps(cells["extra"])
    maps = {name: [*(cells[name] or {}).items()] for name in ("votes", "scores")}
    return cells | maps | {"extra": extra}


def _schema() -> "pyarrow.Schema":
    import pyarrow as pa

    text, number = pa.string(), pa.float64()
    types = dict.fromkeys(COLUMNS, text) | {
        "index": pa.int64(),
        **dict.fromkeys(("confidence", "margin", "entropy"), number),
        **dict.fromkeys(("media", "predictions", "labels"), pa.list_(text)),
        "votes": pa.map_(text, pa.int64()),
        "scores": pa.map_(text, number),
    }
    return pa.schema([*types.items()])


def json_lines(rows: Iterable[Row]) -> Iterator[bytes]:
    """Yield the rows as `results` prints them: a JSON object per line."""
    for row in rows:
        yield json.dumps(row, ensure_ascii=False).encode(errors="backslashreplace") + b"\n"


def csv_lines(rows: Iterable[Row]) -> Iterator[bytes]:
    """Yield a CSV file, UTF-8. Cells that a spreadsheet would calculate begin with an apostrophe; several
    media and all objects are JSON."""
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(COLUMNS)
    for row in rows:
        cells = cells_of(row)
        writer.writerow([_plain(name, cells[name]) for name in COLUMNS])
        if text.tell() > 2**20:
            yield text.getvalue().encode()
            text.seek(0)
            text.truncate()
    yield text.getvalue().encode()


def _plain(name: str, value: Any) -> Any:
    if value is None or name in NUMBERS:
        return value
    if name == "media" and len(value) == 1:
        [value] = value
    # `extra` may have half of a character, which only JSON's escapes can be written for.
    shown = value if isinstance(value, str) else json.dumps(value, ensure_ascii=name == "extra")
    return f"'{shown}" if shown.startswith(FORMULA) else shown

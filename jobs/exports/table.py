"""Result rows as a table: Parquet, CSV, or JSON lines."""

import csv
import io
import json
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import IO, Any

from savs.data.result_table import COLUMNS, NUMBERS, Row, cells_of, schema_of, typed
from savs.errors import SettingsError

ROWS_AT_ONCE = 10_000
FORMULA = ("=", "+", "-", "@", "\t", "\r")  # with which spreadsheets begin to calculate
WHOLE = ("index", *NUMBERS)  # columns that CSV has as numbers


def write_parquet(rows: Iterable[Row], path: Path | IO[bytes]) -> int:
    """Write rows into a Parquet file, many at a time, and return their number. `votes` and `scores` are maps,
    `extra` is JSON. Raises SettingsError if pyarrow is not installed."""
    try:
        from pyarrow import Table
        from pyarrow.parquet import ParquetWriter
    except ImportError as error:
        raise SettingsError("Parquet needs pyarrow: pip install 'savs[parquet]'") from error
    schema, count, left = schema_of(), 0, iter(rows)
    with ParquetWriter(path, schema, compression="zstd") as writer:
        while some := [typed(cells_of(row)) for row in islice(left, ROWS_AT_ONCE)]:
            writer.write_table(Table.from_pylist(some, schema))
            count += len(some)
    return count


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
    if value is None or name in WHOLE:
        return value
    if name == "media" and len(value) == 1:
        [value] = value
    # `extra` may have half of a character, which only JSON's escapes can be written for.
    shown = value if isinstance(value, str) else json.dumps(value, ensure_ascii=name == "extra")
    return f"'{shown}" if shown.startswith(FORMULA) else shown

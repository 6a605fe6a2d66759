"""Result rows as a folder of Parquet files, written one after the other."""

import io
import json
import re
from collections.abc import Iterable, Iterator
from itertools import chain, islice
from typing import Any

from jobs.exports.table import write_parquet
from savs.errors import SettingsError
from savs.storage import Store

Row = dict[str, Any]
ROWS_PER_FILE = 100_000
DONE = "_SUCCESS"  # as Spark and Hadoop write it; readers of Parquet skip names that begin with _
PART = re.compile(r"savs-\d{5,}\.parquet")


def write_parts(rows: Iterable[Row], store: Store, size: int = ROWS_PER_FILE) -> tuple[int, int]:
    """Write rows into `savs-00000.parquet` and so on, and at last `_SUCCESS`; return the numbers of rows and
    of files.

    Each file is there as a whole or not at all. The files of an earlier export are deleted first, so that a
    folder without `_SUCCESS` is one whose export was stopped: repeat it.

    size  rows per file

    Raises SettingsError if something else is in the folder, or pyarrow is not installed.
    """
    found = list(store.files(""))
    others = [name for name in (*found, *store.folders("")) if name != DONE and not PART.fullmatch(name)]
    if others:
        raise SettingsError(f"--to: {store.url} also holds {others[0]!r}; name a new folder")
    for name in sorted(found, key=lambda one: one != DONE):  # the mark first
        store.delete(name)
    count = files = 0
    for part in _parts(rows, size):
        data = io.BytesIO()
        count += write_parquet(part, data)
        store.write(f"savs-{files:05d}.parquet", data.getvalue())
        files += 1
    if not files:
        data = io.BytesIO()
        write_parquet([], data)
        store.write("savs-00000.parquet", data.getvalue())
        files = 1
    store.write(DONE, json.dumps({"rows": count, "files": files}).encode() + b"\n")
    return count, files


def _parts(rows: Iterable[Row], size: int) -> Iterator[Iterator[Row]]:
    left = iter(rows)
    for first in left:
        yield chain([first], islice(left, size - 1))

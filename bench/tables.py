"""Measures how fast datasets become manifests, and in how much memory: `python -m bench.tables`.

Rows of a CSV and of a Parquet file, and the files of a folder, are written as a manifest into a workspace
on disk (`jobs.submit.manifests.bring`), each in a separate process. The datasets are generated first. The
folder is a store that lists names without files, since 10^6 files take longer to make than to list.

`--rows 10000000` takes about six minutes on two cores. The exit code is 1 if a bar is missed.
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from bench.figures import Figure
from bench.fresh import fresh
from jobs.records.job import RowOptions
from jobs.submit import manifests
from savs.data.readers.folder import FolderReader
from savs.data.readers.reader import Given
from savs.storage import open_store
from savs.storage.folder import LocalStore
from savs.storage.store import Listed

SPEED, MEMORY = "≥ 50000", "≤ 250"  # rows/s; MB, pyarrow's included
ROWS_AT_ONCE = 100_000
CLASSES = ("cat", "dog", "horse", "tree frog")


def _columns(first: int, last: int) -> dict[str, list[object]]:
    numbers = range(first, last)
    return {
        "image": [f"images/{n % 1000:03d}/picture-{n:09d}.jpg" for n in numbers],
        "label": [CLASSES[n % 4] for n in numbers],
        "id": [*numbers],
        "caption": [f"a photo of a {CLASSES[n % 4]}, taken on day {n % 365}" for n in numbers],
    }


def write_csv(path: str, rows: int) -> None:
    import csv

    with Path(path).open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(_columns(0, 0))
        for first in range(0, rows, ROWS_AT_ONCE):
            writer.writerows(zip(*_columns(first, min(rows, first + ROWS_AT_ONCE)).values(), strict=True))


def write_parquet(path: str, rows: int) -> None:
    import pyarrow
    from pyarrow import parquet

    with parquet.ParquetWriter(path, pyarrow.table(_columns(0, 1)).schema) as writer:
        for first in range(0, rows, 10 * ROWS_AT_ONCE):  # row groups of a million rows, pyarrow's default
            columns = _columns(first, min(rows, first + 10 * ROWS_AT_ONCE))
            writer.write_table(pyarrow.table(columns), row_group_size=10 * ROWS_AT_ONCE)


class _Names(LocalStore):
    """A folder of which only the names exist."""

    def __init__(self, rows: int) -> None:
        super().__init__(Path("/nowhere"))
        self.rows = rows

    def walk(self, prefix: str) -> Iterator[Listed]:
        return (Listed(f"{n // 1000:06d}/picture-{n:09d}.jpg", 1, str(n)) for n in range(self.rows))


def bring(path: str, workspace: str, rows: int) -> float:
    """Return the seconds that it takes; `path` "" is the folder."""
    if not path:
        names = _Names(rows)
        manifests.open_reader = lambda address, given: FolderReader(names, address, given)  # type: ignore[attr-defined]
    began = time.monotonic()
    found = manifests.bring(open_store(workspace), path or "/nowhere", "--data", RowOptions(), Given())
    assert f"{rows:,} rows" in str(found.said)
    return time.monotonic() - began


def main(rows: int) -> int:
    figures: list[Figure] = []
    with tempfile.TemporaryDirectory(prefix="savs-bench-") as place:
        for kind in ("csv", "parquet", "folder"):
            path = "" if kind == "folder" else f"{place}/rows.{kind}"
            if path:
                fresh(f"tables.write_{kind}", path, rows)
            seconds, peak = fresh("tables.bring", path, f"{place}/{kind}", rows)
            figures += [Figure(f"{kind}: speed", rows / seconds, "rows/s", SPEED)]
            figures += [Figure(f"{kind}: peak memory", peak, "MB", MEMORY)]
            print(*figures[-2:], sep="\n", flush=True)
    return 0 if all(figure.met for figure in figures) else 1


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    sys.exit(main(parser.parse_args().rows))

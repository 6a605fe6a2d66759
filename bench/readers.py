"""Measures how fast datasets are read: `python -m bench.readers tar [MEMBERS]`.

Writes the dataset into a temporary folder, reads it in a process of its own, and prints the rate and the peak
of memory. Everything is local, so the rates are those of the readers, not of disks or networks.
"""

import argparse
import io
import tarfile
import tempfile
import time
from collections import Counter
from pathlib import Path

from bench.figures import Figure
from bench.fresh import fresh, peak_mb

SMALL_BYTES = 700  # of a member
TAR_BAR = "≥ 100000"  # members/s


def write_tar(path: Path, members: int) -> None:
    """Write a tar of items with an image and a class, both small."""
    with tarfile.open(path, "w", format=tarfile.USTAR_FORMAT) as tar:
        for number in range(members):
            data = b"\xff" * SMALL_BYTES if number % 2 == 0 else b"%d" % (number % 10)
            info = tarfile.TarInfo(f"{number // 2:09d}.{('jpg', 'cls')[number % 2]}")
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))


def index_tar(path: str) -> tuple[int, float, float]:
    """Return items, seconds, and the memory in MB before."""
    from savs.data.readers.tars.tar_index import Tar, read_items

    before, began = peak_mb(), time.perf_counter()
    items = sum(1 for _ in read_items(Tar.of(path), (), Counter()))
    return items, time.perf_counter() - began, before


def read_tar(path: str) -> tuple[int, float, float]:
    """The same with rows, as they are written to a manifest."""
    from savs.data.readers.reader import Given
    from savs.data.readers.tars.tar import TarReader

    before, began = peak_mb(), time.perf_counter()
    rows = sum(1 for _ in TarReader([path], Given(class_names=[*map(str, range(10))])).rows())
    return rows, time.perf_counter() - began, before


def measure_tar(members: int) -> list[Figure]:
    with tempfile.TemporaryDirectory(prefix="savs-bench-") as folder:
        path = Path(folder) / "a.tar"
        write_tar(path, members)
        figures = []
        for step, bar in (("index_tar", TAR_BAR), ("read_tar", None)):
            (items, seconds, before), peak = fresh(f"readers.{step}", str(path))
            assert items == members // 2
            figures.append(Figure(f"{step}: speed", members / seconds, "members/s", bar))
            figures.append(Figure(f"{step}: memory", peak - before, "MB"))
    return figures


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    kinds = parser.add_subparsers(dest="kind", required=True)
    kinds.add_parser("tar").add_argument("members", type=int, nargs="?", default=1_000_000)
    given = parser.parse_args()
    figures = {"tar": measure_tar}[given.kind](given.members)
    print(*figures, sep="\n")
    return int(any(figure.met is False for figure in figures))


if __name__ == "__main__":
    raise SystemExit(main())

"""Writes result rows where a user wants them: `labels.parquet`, `coco:labels.json`."""

import tempfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from jobs.exports.cleanlab import write_arrays
from jobs.exports.coco import coco_lines
from jobs.exports.image_folder import write_folders
from jobs.exports.label_studio import task_lines
from jobs.exports.table import csv_lines, write_parquet
from jobs.paths import check_path, resolve_address
from savs.errors import SettingsError, StorageError
from savs.storage import open_parent

Row = dict[str, Any]
Read = Callable[[], Iterator[Row]]  # returns the rows, each time from the first on
STREAMED: dict[str, Callable[[Iterable[Row]], Iterator[bytes]]] = {
    "csv": csv_lines,
    "label-studio": task_lines,
    "coco": coco_lines,
}
FORMS = ("parquet", *STREAMED, "cleanlab", "imagefolder")
BLOCK_BYTES = 2**20


def export(read: Read, target: str, least: float) -> str:
    """Write the rows to `target`, and return what was written, in words.

    target  a file or s3:// address that ends in .parquet or .csv; or FORM:PLACE
    least   confidence of the items of an image folder

    Raises SettingsError.
    """
    form, place = _form_of(target)
    if form in ("cleanlab", "imagefolder"):
        return _into_folder(read, form, _local(place), least)
    if form == "parquet":
        with tempfile.TemporaryDirectory(prefix="savs-") as folder:
            path = Path(folder) / "rows.parquet"
            count = write_parquet(read(), path)
            with path.open("rb") as file:
                _write(iter(lambda: file.read(BLOCK_BYTES), b""), place)
        return f"{place}: {count:,} rows"
    counted = [0]

    def rows() -> Iterator[Row]:
        for row in read():
            counted[0] += 1
            yield row

    _write(STREAMED[form](rows()), place)
    return f"{place}: {counted[0]:,} rows"


def _form_of(target: str) -> tuple[str, str]:
    form, colon, place = target.partition(":")
    if colon and form in FORMS and place:
        return form, place
    suffix = target.rpartition(".")[2].lower()
    if suffix in ("parquet", "csv"):
        return suffix, target
    raise SettingsError(
        f"--to: {target}: use a file that ends in .parquet or .csv, or one of "
        f"{', '.join(f'{one}:PLACE' for one in FORMS)}; --out writes JSONL"
    )


def _local(place: str) -> Path:
    found = resolve_address(place)
    if "://" in found:
        raise SettingsError(f"--to: {place}: this form is written into a local folder")
    return Path(found)


def _into_folder(read: Read, form: str, folder: Path, least: float) -> str:
    try:
        if form == "cleanlab":
            known, left = write_arrays(read, folder)
            return f"{folder}: {known:,} rows" + (
                f"; {left:,} without label or probabilities left out" if left else ""
            )
        counts = write_folders(read(), folder, least)
    except OSError as error:
        raise SettingsError(f"--to: {folder} cannot be written: {error.strerror}") from error
    written = counts.pop("written", 0)
    others = ", ".join(f"{count:,} {why}" for why, count in counts.items())
    return f"{folder}: {written:,} items" + (f"; left out: {others}" if others else "")


def _write(blocks: Iterator[bytes], place: str) -> None:
    found = resolve_address(place)
    if "://" not in found and not check_path(Path(found).parent.is_dir):
        raise SettingsError(f"--to: {found} cannot be written: there is no folder {Path(found).parent}")
    try:
        store, key = open_parent(found)
        store.write_blocks(key, blocks)
    except StorageError as error:
        raise SettingsError(f"--to: {error}") from error

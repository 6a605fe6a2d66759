"""Writes result rows where a user wants them: `labels.parquet`, `coco:labels.json`."""

import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from jobs.exports.cleanlab import write_arrays
from jobs.exports.coco import coco_lines
from jobs.exports.fiftyone import write_dataset
from jobs.exports.image_folder import write_folders
from jobs.exports.label_studio import task_lines
from jobs.exports.parquet_folder import write_parts
from jobs.exports.table import csv_lines, json_lines, write_parquet
from jobs.paths import check_path, resolve_address
from savs.errors import SettingsError, StorageError
from savs.storage import open_parent, open_store

Row = dict[str, Any]
Read = Callable[[], Iterator[Row]]  # returns the rows, each time from the first on
STREAMED: dict[str, Callable[[Iterable[Row]], Iterator[bytes]]] = {
    "csv": csv_lines,
    "jsonl": json_lines,
    "label-studio": task_lines,
    "coco": coco_lines,
}
FOLDERS = ("fiftyone", "cleanlab", "imagefolder")
FORMS = ("parquet", *STREAMED, *FOLDERS)
FILES = ("parquet", "csv", "jsonl")  # forms that a name may end in
BLOCK_BYTES = 2**20


def export(read: Read, target: str, least: float) -> str:
    """Write the rows to `target`, and return what was written, in words.

    target  a file or s3:// address that ends in .parquet, .csv or .jsonl; or FORM:PLACE
    least   confidence of the items of an image folder

    Raises SettingsError.
    """
    form, place = _form_of(target)
    if form in FOLDERS:
        return _into_folder(read, form, _local(place), least)
    if form == "parquet" and _is_folder(place):
        return _into_parts(read, place)
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
    if suffix in FILES:
        return suffix, target
    raise SettingsError(
        f"--to: {target}: use a file that ends in .parquet, .csv or .jsonl, or one of "
        f"{', '.join(f'{one}:PLACE' for one in FORMS)}"
    )


def _is_folder(place: str) -> bool:
    """Return whether a place is meant as a folder: it ends in /, or there is one."""
    found = resolve_address(place)
    return place.endswith("/") or ("://" not in found and check_path(Path(found).is_dir))


def _into_parts(read: Read, place: str) -> str:
    found = resolve_address(place)
    try:
        rows, files = write_parts(read(), open_store(found))
    except StorageError as error:
        raise SettingsError(f"--to: {error}") from error
    except OSError as error:
        raise SettingsError(f"--to: {found} cannot be written: {error.strerror}") from error
    return f"{found}: {rows:,} rows in {files:,} file{'' if files == 1 else 's'}"


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
        if form == "fiftyone":
            done = write_dataset(read, folder)
            return f"{folder}: {done.samples:,} samples{_left(done.left)}"
        counts = write_folders(read(), folder, least)
    except OSError as error:
        raise SettingsError(f"--to: {folder} cannot be written: {error.strerror}") from error
    written = counts.pop("written", 0)
    return f"{folder}: {written:,} items{_left(counts)}"


def _left(counts: Mapping[str, int]) -> str:
    others = ", ".join(f"{count:,} {why}" for why, count in counts.items())
    return f"; left out: {others}" if others else ""


def _write(blocks: Iterator[bytes], place: str) -> None:
    found = resolve_address(place)
    if "://" not in found and not check_path(Path(found).parent.is_dir):
        raise SettingsError(f"--to: {found} cannot be written: there is no folder {Path(found).parent}")
    try:
        store, key = open_parent(found)
        store.write_blocks(key, blocks)
    except StorageError as error:
        raise SettingsError(f"--to: {error}") from error

"""Reads a dataset as `savs-submit` does."""

from pathlib import Path
from typing import Any

from savs.data.formats import UNUSABLE
from savs.data.readers.detect import open_reader
from savs.data.readers.reader import Given, Reader, Row


def reader_of(path: Path | str, **given: Any) -> Reader:
    reader = open_reader(str(path), Given(**given))
    assert reader is not None
    return reader


def read(path: Path | str, **given: Any) -> list[Row]:
    return [*reader_of(path, **given).rows()]


def written(folder: Path, content: bytes) -> Path:
    (folder / "rows").write_bytes(content)
    return folder / "rows"


def reasons(rows: list[Row]) -> list[str | None]:
    """Why each row cannot be used; None if it can."""
    return [row.get(UNUSABLE) for row in rows]

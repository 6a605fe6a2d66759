"""Samples, and how a manifest's lines become them.

A manifest is JSONL in the `general` format: `image` (a path, a list of paths, or nothing for a
question about text alone), `question`, `label`, and `question_id`, all as published. Blank
lines are no rows. Reading is streamed: nothing here holds more than one line.

This module knows no model and opens no media.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from pydantic_core import from_json

from savs.errors import BadLine, BadRow, ManifestError
from savs.storage import open_parent

MAX_LINE_BYTES = 4 * 2**20  # a longer line is an error, not a sample
BOM = b"\xef\xbb\xbf"


@dataclass(frozen=True)
class Sample:
    """One item to be labelled, or one labelled example.

    index     the row's number in its manifest, from 0
    id        the manifest's own name for it, else the index
    media     addresses of pictures and videos, in the order they are shown; may be empty
    question  None where the artifact's is to be used
    label     None where it is not known
    """

    index: int
    id: str
    media: tuple[str, ...] = ()
    question: str | None = None
    label: str | None = None


@dataclass(slots=True)  # not frozen: that takes three times as long to make, and there are 10^7 of them
class Line:
    """A manifest's row as bytes: `offset` and `length` in the file, `number` of the line from 1."""

    index: int
    number: int
    offset: int
    length: int
    data: bytes


def read_lines(stream: IO[bytes], first_index: int = 0, first_line: int = 1) -> Iterator[Line]:
    """The rows of a JSONL stream, blank lines left out. Lines over the limit come cut short."""
    offset, index, number = 0, first_index, first_line
    while data := stream.readline(MAX_LINE_BYTES + 1):
        length = len(data)
        rest = data
        while len(rest) > MAX_LINE_BYTES and not rest.endswith(b"\n"):
            rest = stream.readline(MAX_LINE_BYTES + 1)
            length += len(rest)
        if number == 1 and data.startswith(BOM):
            data = data[len(BOM) :]
        if data.strip():
            yield Line(index, number, offset, length, data)
            index += 1
        offset += length
        number += 1


def parse_line(line: Line, base: str, *, labelled: bool) -> Sample:
    """The sample on `line`. Relative media lie under `base`, the manifest's folder.

    Raises BadRow with the reason. With `labelled`, a missing question or label is one.
    """
    if line.length > MAX_LINE_BYTES:
        raise BadRow(f"the line has {line.length} bytes; at most {MAX_LINE_BYTES} are read")
    try:
        row = from_json(line.data)
    except ValueError:
        row = _explain(line.data)
    if not isinstance(row, dict):
        raise BadRow(f"not an object but {_type(row)}")
    return parse_general(row, line.index, base, labelled=labelled)


def _explain(data: bytes) -> Any:
    """As the standard library reads it, six times slower: its errors say more."""
    try:
        return json.loads(data.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise BadRow(f"not UTF-8: {error.reason} at byte {error.start}") from error
    except RecursionError as error:
        raise BadRow("not usable JSON: nested too deeply") from error
    except ValueError as error:
        raise BadRow(f"not JSON: {error}") from error


def parse_general(row: dict[str, Any], index: int, base: str, *, labelled: bool) -> Sample:
    """A row of the `general` format as published, CameraBench's too."""
    label = _text(row, "label", required=labelled)
    question = _text(row, "question", required=labelled)
    media = tuple([locate(path, base) for path in _paths(row, "image")])
    if not media and question is None:
        raise BadRow("neither 'image' nor 'question'")
    return Sample(index, _identifier(row, index), media, question, label)


def locate(path: str, base: str) -> str:
    """`path` as it is where it is absolute or has a scheme, else under `base`."""
    if "://" in path or path.startswith("/"):
        return path
    return f"{base.rstrip('/')}/{path.removeprefix('./').lstrip('/')}"


def _paths(row: dict[str, Any], field: str) -> list[str]:
    value = row.get(field)
    if value is None:
        return []
    paths = value if isinstance(value, list) else [value]
    for path in paths:
        if not isinstance(path, str):
            raise BadRow(f"{field!r} must be a path or a list of paths, not {_type(path)}")
        if not path or "\0" in path:
            raise BadRow(f"{field!r} holds an empty or unusable path")
        _storable(path, field)
    return paths


def _text(row: dict[str, Any], field: str, *, required: bool) -> str | None:
    value = row.get(field)
    if value is None:
        if required:
            raise BadRow(f"{field!r} is missing")
        return None
    if not isinstance(value, str):
        raise BadRow(f"{field!r} must be text, not {_type(value)}")
    if not value.strip():
        raise BadRow(f"{field!r} is empty")
    return _storable(value, field)


def _identifier(row: dict[str, Any], index: int) -> str:
    value = row.get("question_id", row.get("id"))
    if value is None:
        return str(index)
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise BadRow(f"'question_id' must be text or a whole number, not {_type(value)}")
    return _storable(str(value), "question_id")


def _storable(text: str, field: str) -> str:
    if text.isascii():
        return text
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise BadRow(f"{field!r} holds half a character (a lone surrogate)") from error
    return text


def _type(value: Any) -> str:
    names = {dict: "an object", list: "a list", str: "text", bool: "true or false", type(None): "null"}
    return names.get(type(value), "a number")


def read_samples(path: str, *, labelled: bool = False) -> list[Sample]:
    """Every sample of the manifest at `path`, a local path or s3:// address.

    With `labelled`, every row must have a question and a label. Raises ManifestError, which lists
    the unusable lines with their reasons.
    """
    store, key = open_parent(path)
    samples, bad = [], []
    with store.open(key) as stream:
        for line in read_lines(stream):
            try:
                samples.append(parse_line(line, folder_of(path), labelled=labelled))
            except BadRow as error:
                bad.append(BadLine(line.number, str(error)))
    if bad:
        raise ManifestError(path, bad)
    return samples


def folder_of(path: str) -> str:
    """Where relative media of the manifest at `path` lie: the manifest's own folder, absolute."""
    return path.rpartition("/")[0] if path.startswith("s3://") else str(Path(path).resolve().parent)

"""Samples, and how a manifest's rows become samples.

`savs.data.formats` defines the meaning of a row's fields, `savs.data.rows` where a row begins and ends.
Reading is streamed, one row at a time. This module does not open media and does not depend on the model.
"""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from pydantic_core import from_json

from savs.data.containers.contained import contained
from savs.data.formats import CELLS, UNUSABLE, Fields, extra_of, format_of, kind, labels_of
from savs.data.labels import Label, LabelKinds
from savs.data.memory import address_of
from savs.data.rows import MAX_LINE_BYTES, Line, is_list, read_rows
from savs.errors import BadLine, BadRow, ManifestError
from savs.storage import open_parent, without_scheme

PEEK_BYTES = 4096  # must contain a manifest's first byte that is not blank
MAX_REASON = 1000  # characters of the reason that a manifest gives for an unusable row
UNNUMBERED = -1  # the index of a sample without one


@dataclass(frozen=True)
class Sample:
    """One item to be labelled, or one labelled example.

    index     the row's number in its manifest, from 0; `extract` numbers samples without one
    id        the row's id in the manifest, else the index
    media     addresses of images and videos, in the order they are shown; may be empty. May be given as
              paths, PIL images and arrays uint8 [height, width, 3] or [height, width]; a single one needs
              no tuple
    question  None if the artifact's is used
    label     one text, or a list of texts if an item may have several labels or none; None if not known
    group     name shared by rows that are scored together, if the row has one
    split     name under which the row is scored separately, if it has one
    labels    label for each of several tasks, by their names
    extra     other values of the row, which its result has, too

    Raises SettingsError if a medium is something else.
    """

    index: int = UNNUMBERED
    id: str = ""
    media: tuple[str, ...] = ()
    question: str | None = None
    label: Label | None = None
    group: str | None = None
    split: str | None = None
    labels: Mapping[str, str] | None = None
    extra: Mapping[str, Any] | None = None

    def __post_init__(self) -> None:
        if isinstance(self.label, list):
            object.__setattr__(self, "label", tuple(self.label))
        if isinstance(self.media, tuple) and all(isinstance(one, str) for one in self.media):
            return
        media = self.media if isinstance(self.media, list | tuple) else (self.media,)
        object.__setattr__(self, "media", tuple(map(address_of, media)))


@dataclass(frozen=True)
class Reading:
    """How a manifest's rows are read.

    format        a name in savs.data.formats.FORMATS
    base          folder or s3:// address against which relative paths are resolved
    strip_prefix  prefix removed from paths before that
    question      of rows that have none
    """

    base: str
    format: str = "general"
    strip_prefix: str = ""
    question: str | None = None


def parse_line(line: Line, reading: Reading, *, labelled: bool) -> Sample:
    """The sample on `line`. Raises BadRow with the reason; with `labelled`, also if the question or
    label is missing."""
    row = parse_row(line)
    found = fields_of(row, reading.format, labelled=labelled, question=reading.question)
    if CELLS in row:  # a reader has written it: addresses are whole
        media = contained(found.media, row[CELLS])
    else:
        media = tuple([locate(path, reading) for path in found.media])
    return Sample(
        line.index,
        str(line.index) if found.id is None else found.id,
        media,
        found.question,
        found.label,
        found.group,
        found.split,
        found.labels,
        found.extra,
    )


def fields_of(row: dict[str, Any], format: str, *, labelled: bool, question: str | None = None) -> Fields:
    """The fields that the format finds in a row; `question` is that of rows that have none. Raises BadRow in
    the same cases as `parse_line`."""
    if isinstance(reason := row.get(UNUSABLE), str):
        raise BadRow(reason[:MAX_REASON].encode("utf-8", "replace").decode())
    known = format_of(format)
    found = known.read(row)
    if question is not None and found.question is None:
        found = found._replace(question=question)
    if "labels" in row:
        found = found._replace(labels=labels_of(row))
    if not known.fields >= row.keys() or "extra" in row:
        found = found._replace(extra=extra_of(row, known.fields))
    if labelled:
        for field in ("label", "question"):
            if getattr(found, field) is None:
                raise BadRow(f"{field!r} is missing")
    return found


def parse_row(line: Line) -> dict[str, Any]:
    """The JSON object on `line`. Raises BadRow."""
    if line.length > MAX_LINE_BYTES:
        raise BadRow(f"the line has {line.length} bytes; at most {MAX_LINE_BYTES} are read")
    try:
        row = from_json(line.data)
    except ValueError:
        row = _explain(line.data)
    if not isinstance(row, dict):
        raise BadRow(f"not an object but {kind(row)}")
    return row


def _explain(data: bytes) -> Any:
    """Parse with the standard library: six times slower, but its errors are more detailed."""
    try:
        return json.loads(data.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise BadRow(f"not UTF-8: {error.reason} at byte {error.start}") from error
    except RecursionError as error:
        raise BadRow("not usable JSON: nested too deeply") from error
    except ValueError as error:
        raise BadRow(f"not JSON: {error}") from error


def locate(path: str, reading: Reading) -> str:
    """`path` without the prefix; then unchanged if it is absolute or has a scheme, else below the base."""
    if reading.strip_prefix and path.startswith(reading.strip_prefix):
        path = path.removeprefix(reading.strip_prefix).lstrip("/")
    if "://" in path or path.startswith("/"):
        return without_scheme(path)
    return f"{reading.base}/{path.removeprefix('./').lstrip('/')}"


def read_samples(
    path: str | Path,
    *,
    labelled: bool = False,
    format: str = "general",
    media_root: str | None = None,
    strip_prefix: str = "",
    question: str | None = None,
) -> list[Sample]:
    """Every sample of the manifest at `path`, a local path or s3:// address; JSONL or one JSON list.

    format        a name in savs.data.formats.FORMATS
    media_root    where relative paths are resolved; by default the manifest's own folder
    strip_prefix  prefix removed from paths before that
    question      of rows that have none

    With `labelled`, every row must have a question and a label, which is a list in all rows or in none.
    Raises ManifestError, which lists
    the unusable lines with their reasons.
    """
    path = str(path)
    reading = Reading(base_of(path, media_root), format, strip_prefix, question)
    store, key = open_parent(path)
    samples, bad, kinds = [], [], LabelKinds()
    with store.open(key) as stream:
        try:
            for line in read_rows(stream, is_list(head_of(stream))):
                try:
                    samples.append(parse_line(line, reading, labelled=labelled))
                    kinds.see(samples[-1].label, line.number)
                except BadRow as error:
                    bad.append(BadLine(line.number, str(error)))
        except BadRow as error:  # of the list itself
            bad.append(BadLine(1, str(error)))
    if labelled and kinds.mixed is not None and not bad:
        bad.append(BadLine(max(kinds.text, kinds.list), kinds.mixed))
    if bad:
        raise ManifestError(path, bad)
    return samples


def head_of(stream: IO[bytes]) -> bytes:
    """The first bytes of a buffered stream, without consuming them."""
    return stream.peek(PEEK_BYTES)[:PEEK_BYTES] if hasattr(stream, "peek") else b""


def base_of(path: str, media_root: str | None = None) -> str:
    """The address below which relative media are: `media_root`, else the manifest's folder, absolute.

    path  of the manifest
    """
    if media_root is not None:
        return media_root.rstrip("/")
    path = without_scheme(path)
    if path.startswith("s3://"):
        return path.rpartition("/")[0]
    # Not Path.resolve, which raises RuntimeError at a link that leads to itself.
    return os.path.dirname(os.path.realpath(path)).rstrip("/")  # noqa: PTH120

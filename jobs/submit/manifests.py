"""Brings what people have into the one form that jobs know: a dataset that is no manifest is written as one,
once, into the workspace."""

import hashlib
import json
import re
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from pydantic_core import PydanticSerializationError, to_json

from jobs.paths import resolve_address
from jobs.records.job import RowOptions
from savs.data.formats import UNUSABLE
from savs.data.readers.detect import open_reader
from savs.data.readers.reader import Given, Reader, Row, unusable
from savs.data.samples import base_of
from savs.errors import DatasetError, NotFound, SettingsError
from savs.storage import Store, join, without_scheme

VERSION = 1  # of the rows that readers write; another makes other manifests
DIGITS = 12  # of a hash in a manifest's name
BLOCK_BYTES = 2**20


@dataclass(frozen=True)
class Dataset:
    """A dataset as jobs see it.

    address  of its manifest, or of a folder of manifests
    rows     how its rows are read
    said     what was found, for the user; None if it was a manifest
    """

    address: str
    rows: RowOptions
    said: str | None = None

    def each(self, manifests: Sequence[str]) -> "list[Dataset]":
        """Return each of the manifests in its folder."""
        return [replace(self, address=address) for address in manifests]


@dataclass
class _Counted:
    rows: int = 0
    bad: int = 0
    digest: Any = field(default_factory=hashlib.sha256)


def bring(store: Store, address: str, option: str, rows: RowOptions, given: Given) -> Dataset:
    """Return the dataset at `address`, which the user gave with `option`. What is no manifest is written as
    `manifests/<name>-<hash>.jsonl` in `store`, unless it is there: the hash is that of the content, so that
    the same command joins the same job, and other data makes another.

    Raises SettingsError, and DatasetError if it cannot be read to its end or has no rows.
    """
    place = _place(address, option)
    if given.base is None and rows.media_root is not None:
        given = replace(given, base=resolve_address(without_scheme(rows.media_root)).rstrip("/"))
    try:
        reader = open_reader(place, given)
    except NotFound as error:
        raise SettingsError(f"{option}: {error}") from error
    if reader is None:
        return Dataset(address, rows)
    if rows.media_root is None:
        rows = rows.model_copy(update={"media_root": base_of(place)})
    name = _name_of(place)
    identity = reader.identity()
    if identity is not None:
        key = _key(name, place, reader, given, identity)
        if (known := _known(store, key)) is not None:
            return Dataset(join(store.url, key), rows, known)
        counted = _Counted()
        store.write_blocks(key, _blocks(reader.rows(), counted, place))
    else:
        key, counted = _spool(store, name, place, reader, given)
    if not counted.rows:
        store.delete(key)
        raise DatasetError(f"{option}: {address} has no rows; {reader.found() or reader.kind}")
    said = _said(address, reader, counted)
    store.write(_beside(key), json.dumps({"found": said}).encode())
    return Dataset(join(store.url, key), rows, said)


def _place(address: str, option: str) -> str:
    """Return the absolute address. A brace or a glob stays as it is."""
    address = without_scheme(address)
    if "://" in address and not address.startswith("s3://"):
        raise SettingsError(f"{option}: {address}: only local paths and s3:// addresses can be read")
    place = resolve_address(address)
    return place + "/" if address.endswith("/") and not place.endswith("/") else place


def _name_of(place: str) -> str:
    stem = place.rstrip("/").rpartition("/")[2].partition(".")[0]
    return re.sub(r"[^A-Za-z0-9_-]+", "-", stem).strip("-")[:40] or "data"


def _key(name: str, place: str, reader: Reader, given: Given, identity: str) -> str:
    said = [
        *(VERSION, place, reader.kind, identity, dict(given.columns), list(given.class_names)),
        *(given.sidecar, given.base, given.labelled),
    ]
    digest = hashlib.sha256(json.dumps(said, sort_keys=True).encode("utf-8", "surrogatepass")).hexdigest()
    return f"manifests/{name}-{digest[:DIGITS]}.jsonl"


def _beside(key: str) -> str:
    return key.removesuffix(".jsonl") + ".json"


def _known(store: Store, key: str) -> str | None:
    """Return what was found when the manifest was written; None if it is not there, or not whole."""
    try:
        found = json.loads(store.read(_beside(key)))["found"]
    except (NotFound, ValueError, KeyError, TypeError):
        return None
    return str(found) if store.exists(key) else None


def _spool(store: Store, name: str, place: str, reader: Reader, given: Given) -> tuple[str, _Counted]:
    """Write a manifest whose name follows from its content, which only reading tells."""
    counted = _Counted()
    with tempfile.TemporaryFile(prefix="savs-") as file:
        for block in _blocks(reader.rows(), counted, place):
            file.write(block)
        identity = reader.identity()
        assert identity is not None
        key = _key(name, place, reader, given, identity)
        if counted.rows and not (store.exists(_beside(key)) and store.exists(key)):
            file.seek(0)
            store.write_blocks(key, iter(lambda: file.read(BLOCK_BYTES), b""))
    return key, counted


def _blocks(rows: Iterator[Row], counted: _Counted, place: str) -> Iterator[bytes]:
    """Yield the lines of the rows, many at a time."""
    lines: list[bytes] = []
    size = 0
    for row in rows:
        try:
            line = to_json(row, inf_nan_mode="null", fallback=str)
        except (PydanticSerializationError, ValueError) as error:
            row = unusable(
                f"{place}, row {counted.rows + 1}", f"it has text that is not UTF-8 ({error})"[:200]
            )
            line = to_json(row)
        counted.rows += 1
        counted.bad += UNUSABLE in row
        lines.append(line)
        size += len(line)
        if size > BLOCK_BYTES:
            yield b"\n".join((*lines, b""))
            lines, size = [], 0
    if lines:
        yield b"\n".join((*lines, b""))


def _said(address: str, reader: Reader, counted: _Counted) -> str:
    bad = f" ({counted.bad:,} of them cannot be used)" if counted.bad else ""
    rows = f"{counted.rows:,} row{'s' if counted.rows > 1 else ''}{bad}"
    return ", ".join(filter(None, (f"{address}: {reader.kind}", rows, reader.found())))

"""Finds out what a dataset is, by its content, and returns its reader."""

import io
import re
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import IO, Any

from savs.data.containers.tar_headers import END, is_header
from savs.data.readers.columns import USUAL
from savs.data.readers.delimited import DelimitedReader
from savs.data.readers.folder import FolderReader, is_media
from savs.data.readers.json_lines import JsonReader
from savs.data.readers.patterns import PATTERN, expand
from savs.data.readers.reader import Given, Reader
from savs.data.readers.unpacked import GZIP, ZSTD, unpacked
from savs.data.rows import is_list, read_rows
from savs.data.samples import base_of, head_of, parse_row
from savs.errors import BadRow, DatasetError, NotFound, SettingsError
from savs.storage import join, open_parent, open_store

KINDS = ("jsonl", "csv", "parquet", "webdataset", "huggingface", "folder")
PARQUET, ARROW, ARROW_STREAM = b"PAR1", b"ARROW1", b"\xff\xff\xff\xff"
TAR_AT = 257  # of the mark of a tar, which the oldest lack
PACKED_TAR = re.compile(r"\.(tar\.\w+|tgz)$", re.I)
THREADS = 16  # files whose beginnings are read at the same time
MANIFESTS = (".json", ".jsonl")
LOOKED_AT = 10_000  # files of a folder, to find out what it is
METADATA = ("metadata.jsonl", "metadata.csv", "metadata.parquet")
SAVED = ("state.json", "dataset_dict.json")  # of a dataset that Hugging Face's save_to_disk wrote
CONTROLS = re.compile(rb"[\x00-\x08\x0e-\x1f]")  # which no text has


def open_reader(address: str, given: Given) -> Reader | None:
    """Return the reader of the dataset at `address`, an absolute path, an s3:// address, or one with braces
    or a glob; None if it is a manifest already, or a folder of manifests, each of them a split.

    Raises NotFound, SettingsError if it is none of the kinds that are known or lacks a column, and
    DatasetError if it is damaged.
    """
    if given.kind is not None and given.kind not in KINDS:
        raise SettingsError(f"no kind of dataset is called {given.kind!r}; the kinds are: {', '.join(KINDS)}")
    if PATTERN.search(address.rpartition("/")[2]) and not _is_there(address):
        files = expand(address)
        return _shards(files, given) if len(files) > 1 else _file(files[0], given)
    if _is_folder(address):
        return _folder(address.rstrip("/"), given)
    return _file(address, given)


def _is_there(address: str) -> bool:
    """Return whether a local file or folder is called like a pattern."""
    try:
        return not address.startswith("s3://") and Path(address).exists()
    except (OSError, ValueError):
        return False


def _is_folder(address: str) -> bool:
    if not address.startswith("s3://"):
        try:
            return Path(address).is_dir()
        except (OSError, ValueError) as error:
            raise NotFound(f"{address} cannot be opened: {error}") from error
    if address.endswith("/") or "/" not in address.removeprefix("s3://"):
        return True
    store, key = open_parent(address)
    return not store.exists(key) and any(True for _ in open_store(address).walk(""))


def _folder(address: str, given: Given) -> Reader | None:
    store = open_store(address)
    names = [] if given.kind == "folder" else [*islice(store.files(""), LOOKED_AT)]
    if given.kind == "huggingface" or any(name in names for name in SAVED):
        from savs.data.readers.huggingface import saved_reader

        return saved_reader(address, given)
    if found := [name for name in METADATA if name in names]:
        reader = _file(join(address, found[0]), given, needed=True)
        return reader
    for suffix in (r"\.tar$", PACKED_TAR, r"\.parquet$", r"\.arrow$"):
        if shards := [join(address, name) for name in names if re.search(suffix, name)]:
            return _shards(shards, given)
    if any(name.lower().endswith(MANIFESTS) for name in names) and not any(map(is_media, names)):
        return None
    return FolderReader(store, address, given)


def _shards(addresses: Sequence[str], given: Given) -> Reader:
    """Return the reader of several files of one kind."""
    kinds = {str(given.kind)}
    if given.kind is None:
        with ThreadPoolExecutor(THREADS) as pool:
            kinds = {*pool.map(_kind_of, addresses)}
    if kinds == {"webdataset"}:
        from savs.data.readers.tars.tar import TarReader

        return TarReader(addresses, given)
    if kinds <= {"parquet", "arrow"}:
        from savs.data.readers.columnar import ColumnarReader

        return ColumnarReader(addresses, given)
    raise SettingsError(
        f"{addresses[0]} and {len(addresses) - 1} others are {' and '.join(sorted(kinds))}; several files "
        "are read together only if all are tars, or all are Parquet"
    )


def _file(address: str, given: Given, needed: bool = False) -> Reader | None:
    """Return the reader of a file; None if it is a manifest.

    needed  whether even a manifest has a reader
    """
    store, key = open_parent(address)
    given = given if given.base is not None else _based(given, address)
    stream: IO[bytes] = store.open(key)
    head = head_of(stream)
    kind = given.kind or kind_of(head)
    packed = head.startswith((GZIP, ZSTD))
    if kind in ("webdataset", "parquet", "arrow"):
        stream.close()
        return _shards([address], replace(given, kind=kind) if kind == "webdataset" else given)
    etag = store.etag(key)  # reads all of a local file, which may be too large for that in the kinds above
    if packed:
        stream = unpacked(stream, address)
        try:
            head = head_of(stream)
        except (OSError, EOFError) as error:
            raise DatasetError(f"{address}: {error}") from error
        kind = given.kind or kind_of(head)
        if kind == "webdataset":
            stream.close()
            return _shards([address], replace(given, kind=kind))
    if kind == "jsonl":
        mapped = needed or bool(given.columns or given.class_names)
        if not mapped and given.general:
            mapped = _is_foreign(head, lambda: unpacked(store.open(key), address))
        if packed or mapped:
            return JsonReader(stream, address, etag, given, mapped)
        stream.close()
        return None
    if kind == "csv":
        return DelimitedReader(stream, head, address, etag, given)
    stream.close()
    if is_media(address):
        raise SettingsError(f"{address} is one item; give its folder, or a manifest")
    raise SettingsError(
        f"{address} is nothing that is known: neither JSON, CSV, Parquet, Arrow nor tar; name its kind with "
        "--format"
    )


def _is_foreign(head: bytes, reopened: Callable[[], IO[bytes]]) -> bool:
    """Return whether the first row of a file in JSON has fields of a manifest, but under other names. What is
    no JSON is taken for a manifest, which has better messages.

    reopened  returns the file's stream once more, for a row that is longer than `head`
    """
    row: dict[str, Any] = {}
    with suppress(BadRow, StopIteration, OSError, EOFError):
        try:
            row = parse_row(next(read_rows(io.BytesIO(head), is_list(head))))
        except (BadRow, StopIteration):
            with reopened() as stream:
                row = parse_row(next(read_rows(stream, is_list(head))))
    names = {name.lower() for name in row}
    return not {"image", "question"} & row.keys() and bool(names & set(USUAL["image"]))


def _based(given: Given, address: str) -> Given:
    return replace(given, base=base_of(address))


def kind_of(head: bytes) -> str | None:
    """Return the kind of a file that begins with `head`; None if it is none that is known. An empty file is
    a manifest without rows."""
    if head.startswith(PARQUET):
        return "parquet"
    if head.startswith((ARROW, ARROW_STREAM)):
        return "arrow"
    if head[TAR_AT : TAR_AT + 5] == b"ustar" or is_header(head) or head[: len(END)] == END:
        return "webdataset"
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    if not text or text[:1] in (b"{", b"["):
        return "jsonl"
    if head.startswith((b"\xff\xfe", b"\xfe\xff")):
        return "csv"
    first = re.split(rb"[\r\n]", text, maxsplit=1)[0]
    return "csv" if re.search(rb"[A-Za-z]", first) and not CONTROLS.search(head) else None


def _kind_of(address: str) -> str:
    store, key = open_parent(address)
    with store.open(key) as stream:
        head = head_of(stream)
    packed = head.startswith((GZIP, ZSTD)) and re.search(PACKED_TAR, address)
    return "webdataset" if packed else kind_of(head) or "unknown"

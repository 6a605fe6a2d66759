"""New labels over old shards: a CSV or JSONL file with a row per key, held in memory."""

import csv
import gzip
import io
from collections.abc import Iterator
from typing import IO, Any

from pydantic_core import from_json, to_json

from savs.data.readers.columns import USUAL, listed
from savs.data.readers.delimited import delimiter_of, encoding_of
from savs.data.readers.reader import Given
from savs.data.rows import MAX_LINE_BYTES, is_list, read_rows
from savs.data.samples import head_of, parse_row
from savs.errors import BadRow, DatasetError, SettingsError
from savs.storage import absolute_path, open_parent, without_scheme

KEYS = ("__key__", "key", "id")
SHOWN = 3
GZIP = b"\x1f\x8b"


class LabelFile:
    """The rows of a label file by key, about 250 bytes each.

    Raises NotFound, SettingsError if there is no column of keys, and DatasetError if the file cannot be read
    to its end.

    etag    that identifies its content
    fields  field of a manifest → column, of label, question and id
    """

    def __init__(self, address: str, given: Given) -> None:
        address = without_scheme(address)
        self.address = address if address.startswith("s3://") else str(absolute_path(address))
        self.given = given
        self.fields: dict[str, str] = {}
        self._numbers: dict[str, int] = {}
        self._rows: list[bytes] = []
        self._bad: list[str] = []
        self._twice: list[str] = []
        store, key = open_parent(self.address)
        self.etag = store.etag(key)
        with store.open(key) as stream:
            try:
                self._read(stream)
            except (OSError, EOFError, UnicodeError, csv.Error) as error:
                raise DatasetError(f"{self.address} cannot be read to its end: {error}") from error
        self._used = bytearray(len(self._rows))

    def _read(self, stream: IO[bytes]) -> None:
        if head_of(stream).startswith(GZIP):
            stream = io.BufferedReader(gzip.GzipFile(fileobj=stream))
        head = head_of(stream)
        texts = head.removeprefix(b"\xef\xbb\xbf").lstrip()[:1] in (b"{", b"[")
        keyed: str | None = None
        for values in self._json(stream) if texts else self._csv(stream, head):
            if keyed is None:
                keyed = self._choose([*values])
            key = values.pop(keyed, None)
            try:
                text = str(key) if isinstance(key, str | int) and not isinstance(key, bool) else ""
                row = to_json({name: value for name, value in values.items() if value not in (None, "")})
            except ValueError as error:  # a number of thousands of digits, or text that is not UTF-8
                self._bad.append(f"{keyed}: {error}")
                continue
            if text:
                self._add(text, row)
            else:
                self._bad.append(f"a row has no {keyed!r}")

    def _add(self, key: str, row: bytes) -> None:
        if (number := self._numbers.get(key)) is not None:
            self._twice.append(key)
            self._rows[number] = row
            return
        self._numbers[key] = len(self._rows)
        self._rows.append(row)

    def _choose(self, names: list[str]) -> str:
        keyed = next((name for name in KEYS if name in names), None)
        if keyed is None:
            raise SettingsError(
                f"--label-file: {self.address} has no column '__key__'; it has {listed(names)}. Name the "
                "column of the items' keys __key__"
            )
        left = [name for name in names if name != keyed]
        for field in ("label", "question", "id"):
            usual = ("id",) if field == "id" else USUAL[field]
            wanted = (self.given.columns[field],) if field in self.given.columns else usual
            if found := [name for name in wanted if name in left]:
                self.fields[field] = found[0]
        return keyed

    def _csv(self, stream: IO[bytes], head: bytes) -> Iterator[dict[str, Any]]:
        csv.field_size_limit(MAX_LINE_BYTES)
        encoding = encoding_of(head, f"--label-file: {self.address}")
        text = io.TextIOWrapper(stream, encoding, newline="")
        lines = csv.reader(text, delimiter=delimiter_of(head.decode(encoding, "ignore")), strict=True)
        names = [name.strip() for name in next(lines, [])]
        if len(set(names)) < len(names) or not names:
            raise SettingsError(
                f"--label-file: {self.address} needs a name for each column, in its first line"
            )
        if not any(name in names for name in KEYS):
            self._choose(names)
        for values in lines:
            if len(values) == len(names):
                yield dict(zip(names, values, strict=True))
            elif values:
                self._bad.append(
                    f"line {lines.line_num} has {len(values)} fields, and the first {len(names)}"
                )

    def _json(self, stream: IO[bytes]) -> Iterator[dict[str, Any]]:
        try:
            for line in read_rows(stream, is_list(head_of(stream))):
                try:
                    yield parse_row(line)
                except BadRow as error:
                    self._bad.append(f"line {line.number}: {error}")
        except BadRow as error:
            raise DatasetError(f"{self.address} cannot be read to its end: {error}") from error

    def row(self, key: str) -> dict[str, Any] | None:
        """Return the values of a key, without those that are empty; None if it has no row."""
        if (number := self._numbers.get(key)) is None:
            return None
        self._used[number] = 1
        values: dict[str, Any] = from_json(self._rows[number])
        return values

    def __str__(self) -> str:
        """What was used, and what not, in words."""
        unused = len(self._used) - sum(self._used)
        said = [f"{sum(self._used):,} of {len(self._used):,} keys in {self.address} are those of items"]
        if unused:
            first = [key for key, number in self._numbers.items() if not self._used[number]][:SHOWN]
            said.append(f"{unused:,} are not ({_few(first, unused)})")
        if self._twice:
            said.append(
                f"{len(self._twice):,} are there twice, and the last row counts ({_few(self._twice)})"
            )
        if self._bad:
            said.append(f"{len(self._bad):,} of its rows cannot be used ({self._bad[0]})")
        return "; ".join(said)


def _few(names: list[str], count: int = 0) -> str:
    more = ", …" if max(count, len(names)) > SHOWN else ""
    return ", ".join(map(repr, names[:SHOWN])) + more

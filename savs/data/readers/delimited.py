"""Rows of CSV and TSV files. The delimiter and the encoding are found out; names come from the first line."""

import csv
import io
from collections.abc import Iterator
from typing import IO

from savs.data.readers.columns import choose_columns, row_of
from savs.data.readers.reader import Given, Row, unusable
from savs.data.rows import MAX_LINE_BYTES
from savs.data.samples import Reading
from savs.errors import BadRow, DatasetError, SettingsError

DELIMITERS = ",;\t|"
NAMES = {"\t": "TSV"}
BOMS = {b"\xef\xbb\xbf": "utf-8-sig", b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16"}
FALLBACK = "cp1252"  # of spreadsheets, where the head of a file is not UTF-8


class DelimitedReader:
    """A CSV or TSV file, whose `stream` is at its beginning.

    head   its first bytes
    etag   that identifies its content
    """

    def __init__(self, stream: IO[bytes], head: bytes, address: str, etag: str, given: Given) -> None:
        self.stream, self.address, self.etag, self.given = stream, address, etag, given
        self.encoding = encoding_of(head)
        text = head.decode(self.encoding, "ignore")
        self.delimiter = delimiter_of(text)
        self.kind = NAMES.get(self.delimiter, "CSV")
        names = next(csv.reader(io.StringIO(text), delimiter=self.delimiter), [])
        self.names = [name.strip() for name in names]
        self.columns = choose_columns(self.names, given, address)

    def found(self) -> str:
        shown = "" if self.encoding.startswith("utf-8") else f"{self.encoding}, "
        return f"{shown}{self.columns}"

    def identity(self) -> str:
        return self.etag

    def rows(self) -> Iterator[Row]:
        csv.field_size_limit(MAX_LINE_BYTES)
        text = io.TextIOWrapper(self.stream, self.encoding, "surrogateescape", newline="")
        lines = csv.reader(text, delimiter=self.delimiter, strict=True)
        reading = Reading(self.given.base or "")
        try:
            next(lines, None)
            while True:
                before = lines.line_num
                try:
                    values = next(lines)
                    if values:
                        yield row_of(self._named(values), self.columns, reading, self.given.class_names)
                except StopIteration:
                    return
                except (BadRow, csv.Error) as error:
                    yield unusable(f"{self.address}:{before + 1}", str(error))
        except (OSError, EOFError, UnicodeError) as error:
            raise DatasetError(
                f"{self.address} cannot be read beyond line {lines.line_num}: {error}; is it complete?"
            ) from error

    def _named(self, values: list[str]) -> dict[str, str]:
        if len(values) != len(self.names):
            raise BadRow(f"{len(values)} fields, and the first line names {len(self.names)}")
        for value in values:
            if not value.isascii() and any("\udc80" <= letter <= "\udcff" for letter in value):
                raise BadRow(f"not {self.encoding}: {value.encode('ascii', 'backslashreplace').decode():.40}")
        return dict(zip(self.names, values, strict=True))


def encoding_of(head: bytes) -> str:
    """Return the encoding of a text that begins with `head`: that of its mark, else UTF-8, else that of
    Windows. Raises SettingsError if it is no text."""
    for mark, encoding in BOMS.items():
        if head.startswith(mark):
            return encoding
    if b"\0" in head:
        raise SettingsError("it has zero bytes, so it is no text")
    try:
        head.decode()
    except UnicodeDecodeError as error:
        if error.start < len(head) - 4:  # else the head ends within a letter
            return FALLBACK
    return "utf-8"


def delimiter_of(text: str) -> str:
    """Return the delimiter that is most frequent in the first line, outside of quotes."""
    counts = dict.fromkeys(DELIMITERS, 0)
    quoted = False
    for letter in text:
        if letter == '"':
            quoted = not quoted
        elif letter in "\r\n" and not quoted:
            break
        elif letter in counts and not quoted:
            counts[letter] += 1
    return max(counts, key=counts.__getitem__)

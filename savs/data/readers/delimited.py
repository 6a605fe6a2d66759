"""Rows of CSV and TSV files. The delimiter and the encoding are found out; names come from the first line."""

import csv
import io
import re
from collections.abc import Iterator
from typing import IO

from savs.data.readers.columns import choose_columns, row_of
from savs.data.readers.reader import Given, Row, unusable
from savs.data.rows import MAX_LINE_BYTES
from savs.data.samples import PEEK_BYTES, Reading
from savs.errors import BadRow, DatasetError, SettingsError

DELIMITERS = ",;\t|"
NAMES = {"\t": "TSV"}
BOMS = {b"\xef\xbb\xbf": "utf-8-sig", b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16"}
FALLBACK = "cp1252"  # of spreadsheets, where the head of a file is not UTF-8
NO_TEXT = re.compile("[\ud800-\udfff]")  # bytes that were no text, and halves of letters


class _Lines:
    """The lines of a text, at most MAX_LINE_BYTES characters each: the rest of a longer one is skipped, and
    csv.Error is raised in its place. `ended` once there are no more."""

    def __init__(self, text: io.TextIOWrapper) -> None:
        self.text, self.ended = text, False

    def __iter__(self) -> "_Lines":
        return self

    def __next__(self) -> str:
        line = self.text.readline(MAX_LINE_BYTES)
        if len(line) == MAX_LINE_BYTES and not line.endswith(("\r", "\n")):
            while (rest := self.text.readline(MAX_LINE_BYTES)) and not rest.endswith(("\r", "\n")):
                pass
            raise csv.Error(f"the line has more than {MAX_LINE_BYTES} characters")
        if not line:
            self.ended = True
            raise StopIteration
        return line


class DelimitedReader:
    """A CSV or TSV file, whose `stream` is at its beginning.

    head   its first bytes
    etag   that identifies its content
    """

    def __init__(self, stream: IO[bytes], head: bytes, address: str, etag: str, given: Given) -> None:
        self.address, self.etag, self.given = address, etag, given
        self.encoding = encoding_of(head, address)
        self.delimiter = delimiter_of(head.decode(self.encoding, "ignore").lstrip())
        self.kind = NAMES.get(self.delimiter, "CSV")
        # What is no text costs its row only, where the bytes after it can still be read.
        errors = "surrogatepass" if self.encoding == "utf-16" else "surrogateescape"
        self.lines = _Lines(io.TextIOWrapper(stream, self.encoding, errors, newline=""))
        csv.field_size_limit(MAX_LINE_BYTES)
        self.records = csv.reader(self.lines, delimiter=self.delimiter, strict=True)
        try:
            names = next((names for names in self.records if any(names)), [])
        except (csv.Error, OSError, EOFError, UnicodeError) as error:
            raise DatasetError(f"{address}: the names of its columns cannot be read: {error}") from error
        self.names = [name.strip() for name in names]
        if broken := [name for name in self.names if NO_TEXT.search(name)]:
            raise DatasetError(f"{address}: the column {broken[0]!r} is not {self.encoding}")
        self.columns = choose_columns(self.names, given, address)
        self.stripped = [name for field, name in self.columns.fields.items() if field != "question"]

    def found(self) -> str:
        shown = "" if self.encoding.startswith("utf-8") else f"{self.encoding}, "
        return f"{shown}{self.columns}"

    def identity(self) -> str:
        return self.etag

    def rows(self) -> Iterator[Row]:
        reading, class_names = Reading(self.given.base or ""), self.given.class_names
        while True:
            first = self.records.line_num + 1
            try:
                if values := next(self.records):
                    yield row_of(self._named(values), self.columns, reading, class_names)
            except StopIteration:
                return
            except BadRow as error:
                yield unusable(f"{self.address}:{first}", str(error))
            except csv.Error as error:
                yield unusable(f"{self.address}:{first}", self._lost(first, error))
            except (OSError, EOFError, UnicodeError) as error:
                raise DatasetError(
                    f"{self.address} cannot be read beyond line {self.records.line_num}: {error}; "
                    "is it complete?"
                ) from error

    def _lost(self, first: int, error: csv.Error) -> str:
        """Return what to say of lines that are no row. Raises DatasetError if they are the rest of the file,
        or so many that nobody can tell what is inside of quotes."""
        last = self.records.line_num
        if self.lines.ended or (last > first and "limit" in str(error)):
            raise DatasetError(
                f"{self.address}:{first}: a quote opens here and does not close; is the file complete?"
            ) from error
        if last <= first:
            return str(error)
        return f"{error}; a quote that opens here takes the lines up to {last} with it"

    def _named(self, values: list[str]) -> dict[str, str]:
        if len(values) != len(self.names):
            raise BadRow(f"{len(values)} fields, and the first line names {len(self.names)}")
        for value in values:
            if not value.isascii() and NO_TEXT.search(value):
                shown = value.encode("ascii", "backslashreplace").decode()
                raise BadRow(f"not {self.encoding}: {shown:.40}; save the file as UTF-8")
        named = dict(zip(self.names, values, strict=True))
        for name in self.stripped:
            named[name] = named[name].strip()
        return named


def encoding_of(head: bytes, address: str) -> str:
    """Return the encoding of a text that begins with `head`: that of its mark, else UTF-8, else that of
    Windows. Raises SettingsError if it is no text."""
    for mark, encoding in BOMS.items():
        if head.startswith(mark):
            return encoding
    if b"\0" in head:
        raise SettingsError(f"{address} has zero bytes, so it is no text")
    try:
        head.decode()
    except UnicodeDecodeError as error:
        within = error.reason == "unexpected end of data" and len(head) == PEEK_BYTES
        return "utf-8" if within else FALLBACK  # the head of a longer file may end within a letter
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

"""The rows of a manifest as bytes, one at a time: a JSON object per line, or one JSON list of objects.

Which of the two a manifest is shows in its first byte that is not blank. Nothing here holds more than
one row, and nothing is understood of it (see `savs.data.samples`).
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO

from savs.errors import BadRow

MAX_LINE_BYTES = 4 * 2**20  # a longer row is an error, not a sample
BOM = b"\xef\xbb\xbf"
BLOCK_BYTES = 2**16  # of a JSON list, looked through at once
MARK = re.compile(rb'["\\{}\[\],]')  # what quotes, escapes, opens, closes or separates


@dataclass(slots=True)  # not frozen: that takes three times as long to make, and there are 10^7 of them
class Line:
    """A manifest's row as bytes: `offset` and `length` in the file, `number` of the line from 1."""

    index: int
    number: int
    offset: int
    length: int
    data: bytes


def is_list(head: bytes) -> bool:
    """Whether the manifest that begins with `head` is one JSON list."""
    return head.removeprefix(BOM).lstrip().startswith(b"[")


def read_rows(
    stream: IO[bytes], listed: bool, first_index: int = 0, first_line: int = 1, *, inside: bool = False
) -> Iterator[Line]:
    """The rows of a manifest, or of a part of it. Rows over the limit come cut short.

    listed  whether it is one JSON list
    inside  whether the stream begins at a row, and not at the manifest's start

    Raises BadRow where a list is none after all.
    """
    if listed:
        return _read_list(stream, first_index, first_line, inside)
    return read_lines(stream, first_index, first_line)


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


@dataclass
class _Open:
    """The bytes since the last separator of a list. `offset` and `line` are where they begin."""

    offset: int
    line: int
    kept: bytes = b""
    length: int = 0
    newlines: int = 0

    def extend(self, data: bytes) -> None:
        self.length += len(data)
        self.newlines += data.count(b"\n")
        if len(self.kept) <= 2 * MAX_LINE_BYTES:  # of a longer row the rest is not looked at
            self.kept += data

    def behind(self) -> "_Open":
        """What begins behind the separator at its end."""
        return _Open(self.offset + self.length + 1, self.line + self.newlines)

    def row(self, index: int) -> Line | None:
        """The row, without the blanks around it; None where there is nothing else."""
        data = self.kept.strip()
        if not data:
            return None
        blanks = self.kept[: len(self.kept) - len(self.kept.lstrip())]
        length = len(data) if self.length == len(self.kept) else self.length - len(blanks)
        number = self.line + blanks.count(b"\n")
        return Line(index, number, self.offset + len(blanks), length, data[: MAX_LINE_BYTES + 1])


def _read_list(stream: IO[bytes], index: int, line: int, inside: bool) -> Iterator[Line]:
    current = _Open(0, line)
    while not inside and (byte := stream.read(1)) != b"[":
        current.extend(byte)
    if not inside:
        current = current.behind()
    begin = current.offset  # of the block in the file
    depth, quoted, escaped = 1, False, -1  # escaped: the place of a byte behind a backslash
    while block := stream.read(BLOCK_BYTES):
        done = 0
        for mark in MARK.finditer(block):
            at, byte = mark.start(), mark[0]
            if begin + at == escaped:
                continue
            if quoted:
                escaped = begin + at + 1 if byte == b"\\" else escaped
                quoted = byte != b'"'
                continue
            quoted = byte == b'"'
            depth += (byte in b"{[") - (byte in b"}]")
            if depth == 0 or (depth == 1 and byte == b","):
                current.extend(block[done:at])
                done = at + 1
                if (row := current.row(index)) is not None:
                    yield row
                    index += 1
                elif byte == b",":
                    raise BadRow("a comma of the list has no row before it")
                current = current.behind()
            if depth == 0:
                if (block[done:] + stream.read(BLOCK_BYTES)).strip():
                    raise BadRow("something stands behind the end of the list")
                return
        current.extend(block[done:])
        begin += len(block)
    if not inside:
        raise BadRow("the list has no end; is the file whole?")
    if (row := current.row(index)) is not None:
        yield row

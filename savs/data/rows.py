"""The rows of a manifest as bytes, one at a time: a JSON object per line, or one JSON list of objects.

The first byte that is not blank shows which of the two a manifest is. This module holds one row at a
time and does not parse it (`savs.data.samples` does).
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO

from savs.errors import BadRow

MAX_LINE_BYTES = 4 * 2**20  # a longer row is an error, not a sample
BOM = b"\xef\xbb\xbf"
BLOCK_BYTES = 2**16  # of a JSON list, scanned at once
MARK = re.compile(rb'["\\{}\[\],]')  # quotes, escapes, brackets and separators


@dataclass(slots=True)  # not frozen: that takes three times as long to create, and there are 10^7 of them
class Line:
    """A manifest's row as bytes: `offset` and `length` in the file, `number` of the line from 1."""

    index: int
    number: int
    offset: int
    length: int
    data: bytes


def is_list(head: bytes) -> bool:
    """Return whether the manifest that begins with `head` is one JSON list."""
    return head.removeprefix(BOM).lstrip().startswith(b"[")


def read_rows(
    stream: IO[bytes], listed: bool, first_index: int = 0, first_line: int = 1, *, inside: bool = False
) -> Iterator[Line]:
    """The rows of a manifest, or of a part of it. Rows over the limit are cut short.

    listed  whether it is one JSON list
    inside  whether the stream begins at a row, not at the manifest's start

    Raises BadRow if the list is malformed.
    """
    if listed:
        return _read_list(stream, first_index, first_line, inside)
    return read_lines(stream, first_index, first_line)


def read_lines(stream: IO[bytes], first_index: int = 0, first_line: int = 1) -> Iterator[Line]:
    """The rows of a JSONL stream, without blank lines. Lines over the limit are cut short."""
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
    """The bytes since the last separator of a list. `offset` and `line` are those of the first one."""

    offset: int
    line: int
    kept: bytes = b""
    length: int = 0
    newlines: int = 0

    def extend(self, data: bytes) -> None:
        self.length += len(data)
        self.newlines += data.count(b"\n")
        if len(self.kept) <= 2 * MAX_LINE_BYTES:  # the rest of a longer row is not kept
            self.kept += data

    def behind(self) -> "_Open":
        """An empty one that begins after the separator at the end of this one."""
        return _Open(self.offset + self.length + 1, self.line + self.newlines)

    def row(self, index: int) -> Line | None:
        """The row, without the blanks around it; None if there is nothing else."""
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
    depth, quoted, escaped = 1, False, -1  # escaped: offset of the byte after a backslash
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
                    raise BadRow("the list has a comma without a row before it")
                current = current.behind()
            if depth == 0:
                if (block[done:] + stream.read(BLOCK_BYTES)).strip():
                    raise BadRow("there is text after the end of the list; a manifest is one list")
                return
        current.extend(block[done:])
        begin += len(block)
    if not inside:
        raise BadRow("the list has no end; check whether the file is complete")
    if (row := current.row(index)) is not None:
        yield row

"""Headers of tars: ustar, GNU and pax, as bytes. Nothing is unpacked, and names are only names."""

import zlib
from collections.abc import Callable, Iterator
from typing import NamedTuple

BLOCK_BYTES = 512
MAX_EXTENDED_BYTES = 2**20  # of a long name or of pax records; a tar does not decide how much memory is used
END = bytes(BLOCK_BYTES)
ADLER_BASE = 65521
FILE = "files"
KINDS = {  # by the type in the header; others are unknown, and skipped like files
    **dict.fromkeys((b"0", b"\0", b"7"), FILE),
    **dict.fromkeys((b"1", b"2"), "links"),
    **dict.fromkeys((b"3", b"4", b"6"), "devices and pipes"),
    b"5": "folders",
    b"S": "sparse files",
}
WITHOUT_DATA = ("links", "devices and pipes", "folders")  # whatever their size says
PAX, GNU_NAME, GNU_LINK, GLOBAL = (b"x", b"X"), b"L", b"K", b"g"

Read = Callable[[int, int], bytes]  # offset and length → bytes; fewer at the end


class TarDamage(ValueError):
    """There is no tar header where one should be. `at` is the byte."""

    def __init__(self, at: int, reason: str) -> None:
        super().__init__(reason)
        self.at = at


class Entry(NamedTuple):
    """A member of a tar.

    name    as it is in the tar, not decoded
    kind    FILE, or what it is else, in the plural
    header  offset of its header, or of the first of its extended headers
    data    offset of its bytes
    size    number of its bytes
    end     offset of the next header
    """

    name: bytes
    kind: str
    header: int
    data: int
    size: int
    end: int


def read_entry(read: Read, offset: int) -> Entry | None:
    """Return the member whose header, or first extended header, is at `offset`; None at the end of the tar.
    Global pax headers are skipped. Raises TarDamage."""
    at = offset
    name: bytes | None = None
    size: int | None = None
    sparse = False
    while True:
        block = read(at, BLOCK_BYTES)
        if (not block or block == END) and at == offset:
            return None
        if not is_header(block):
            raise TarDamage(at, "there is no tar header, or its checksum is wrong")
        mark = block[156:157]
        length = _number(block[124:136], at)
        if mark in KINDS or mark not in (*PAX, GNU_NAME, GNU_LINK, GLOBAL):
            break
        end = at + BLOCK_BYTES + _padded(length)
        if mark == GLOBAL:  # never has what concerns one member
            offset = end if at == offset else offset
        elif mark != GNU_LINK:
            text = _extended(read, at, length)
            if mark == GNU_NAME:
                name = text.partition(b"\0")[0]
            else:
                for key, value in _pax_records(text, at):
                    if key == b"path":
                        name = value
                    elif key == b"size":
                        size = _digits(value, at)
                    sparse = sparse or key.startswith(b"GNU.sparse.")
        at = end
    name = _name(block) if name is None else name
    size = length if size is None else size
    kind = KINDS.get(mark, "members of an unknown type")
    if mark == b"\0" and name.endswith(b"/"):
        kind = "folders"
    data = at + BLOCK_BYTES
    if mark == b"S":
        data = _behind_sparse_map(read, at, block)
    elif sparse and kind == FILE:
        kind = "sparse files"
    return Entry(name, kind, offset, data, size, data + (0 if kind in WITHOUT_DATA else _padded(size)))


def is_header(block: bytes) -> bool:
    """Return whether `block` begins with a tar header, of any kind: its checksum is right."""
    if len(block) < BLOCK_BYTES:
        return False
    block = block[:BLOCK_BYTES]
    told = block[148:156]
    try:
        expected = int(told.strip(b"\0 "), 8)
    except ValueError:
        return False
    # The sum of all bytes, those of the checksum as blanks. Adler-32 has it in its lower half, modulo a
    # prime, and takes a twentieth of the time of `sum`.
    if (expected - 8 * 32 + sum(told) + 1) % ADLER_BASE == zlib.adler32(block) & 0xFFFF:
        return True
    others = block[:148] + block[156:]
    signed = sum(others) - 256 * sum(byte > 127 for byte in others) + 8 * 32  # as some old programs add them
    return expected == signed


def _name(block: bytes) -> bytes:
    name = block[:100].partition(b"\0")[0]
    # GNU's own format has times where POSIX has the beginning of a long name.
    if block[345] and block[257:263] == b"ustar\0":
        return block[345:500].partition(b"\0")[0] + b"/" + name
    return name


def _number(field: bytes, at: int) -> int:
    """Return a number in octal digits, or in base 256 if its first bit is set. Raises TarDamage."""
    if field[0] in (0x80, 0xFF):
        number = int.from_bytes(field[1:], "big") - (256 ** (len(field) - 1) if field[0] == 0xFF else 0)
    else:
        try:
            number = int(field.partition(b"\0")[0].strip() or b"0", 8)
        except ValueError:
            number = -1
    if number < 0:
        raise TarDamage(at, "the size in the header is no size")
    return number


def _padded(size: int) -> int:
    return -(-size // BLOCK_BYTES) * BLOCK_BYTES


def _extended(read: Read, at: int, length: int) -> bytes:
    if length > MAX_EXTENDED_BYTES:
        raise TarDamage(
            at, f"an extended header has {length:,} bytes; at most {MAX_EXTENDED_BYTES:,} are read"
        )
    text = read(at + BLOCK_BYTES, length)
    if len(text) < length:
        raise TarDamage(at, "the tar ends within an extended header")
    return text


def _pax_records(text: bytes, at: int) -> Iterator[tuple[bytes, bytes]]:
    """Yield keys and values of records `<length> <key>=<value>\\n`. Raises TarDamage."""
    begin = 0
    while begin < len(text) and text[begin]:
        blank = text.find(b" ", begin, begin + 20)
        end = begin + (_digits(text[begin:blank], at) if blank > 0 else 0)
        key, equals, value = text[blank + 1 : end].partition(b"=")
        if end <= blank or not equals or not value.endswith(b"\n"):
            raise TarDamage(at, "a pax header has a record that is none")
        yield key, value[:-1]
        begin = end


def _digits(text: bytes, at: int) -> int:
    if not text.isdigit() or len(text) > 20:
        raise TarDamage(at, "a pax header has a number that is none")
    return int(text)


def _behind_sparse_map(read: Read, at: int, block: bytes) -> int:
    """Return the offset behind the blocks that continue the map of a sparse file, in GNU's old format."""
    more, at = block[482], at + BLOCK_BYTES
    while more:
        block = read(at, BLOCK_BYTES)
        if len(block) < BLOCK_BYTES:
            raise TarDamage(at, "the tar ends within the map of a sparse file")
        more, at = block[504], at + BLOCK_BYTES
    return at

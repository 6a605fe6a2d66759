"""The items of one tar: its headers are read, in order, and the bytes of small texts among its members."""

import os
from collections import Counter
from collections.abc import Callable, Container, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from savs.data.containers.tar_headers import BLOCK_BYTES, FILE, Entry, Read, TarDamage, read_entry
from savs.data.readers.folder import is_media
from savs.errors import Changed, DatasetError, StorageError
from savs.storage import open_parent

MAX_TEXT_BYTES = 4 * 2**20  # of all texts of an item, as of a row
MAX_MEMBERS = 1024  # media of an item, and texts
MAX_NAME_BYTES = 1024
TEXTS = frozenset({"json", "txt", "text", "caption", "cls", "label", "question", "id"})
PACKED = {b"\x1f\x8b": "gunzip", b"\x28\xb5\x2f\xfd": "unzstd", b"BZh": "bunzip2", b"\xfd7zXZ": "unxz"}
MEDIUM, TEXT, OTHER = "medium", "text", "members that are no media or texts"
UNNAMED = "members without an extension"
LONG = f"members whose names have more than {MAX_NAME_BYTES} bytes"


@dataclass(frozen=True)
class Tar:
    """A tar as it was found: its size in bytes, and what changes when its bytes do."""

    address: str
    size: int
    etag: str

    @classmethod
    def of(cls, address: str) -> "Tar":
        """Return the tar at `address`, a local path or s3://. A local one is identified by size and time,
        since hashing it would take as long as reading it. Raises NotFound or StorageError."""
        store, key = open_parent(address)
        size = store.size(key)
        if address.startswith("s3://"):
            return cls(address, size, store.etag(key))
        try:
            return cls(address, size, str(Path(address).stat().st_mtime_ns))
        except OSError as error:
            raise StorageError(f"{address} cannot be read: {error.strerror}") from error


@dataclass(slots=True)
class Item:
    """Members with one key that follow each other.

    key    as it is shown; without a leading ./
    media  extension, name, offset of the header and size of each image and video
    texts  extension → bytes
    wrong  why the item cannot be used
    others  extensions that are neither
    """

    key: str
    media: list[tuple[str, str, int, int]] = field(default_factory=list)
    texts: dict[str, bytes] = field(default_factory=dict)
    others: list[str] = field(default_factory=list)
    wrong: str | None = None
    text_bytes: int = 0

    def has(self, extension: str) -> bool:
        return extension in self.texts or any(medium[0] == extension for medium in self.media)


@dataclass(frozen=True)
class Reach:
    """How a tar is read: in blocks of `large` bytes, or of `small` ones where more than `skipped` bytes that
    are not needed lie before a header."""

    large: int
    small: int
    skipped: int


LOCAL = Reach(2**18, 2**14, 2**16)
S3 = Reach(2**22, 2**16, 2**20)  # a request takes as long as some MB


class Window:
    """Reads places of a file that follow each other."""

    def __init__(self, read: Read, size: int, reach: Reach) -> None:
        self.read, self.size, self.reach = read, size, reach
        self.begin, self.buffer = 0, b""

    def __call__(self, offset: int, length: int) -> bytes:
        at = offset - self.begin
        if at < 0 or at + length > len(self.buffer):
            if offset >= self.size:
                return b""
            self._move(offset, length)
            at = 0
        return self.buffer[at : at + length]

    def _move(self, offset: int, length: int) -> None:
        gap = offset - self.begin - len(self.buffer)
        first = not self.buffer
        span = self.reach.small if first or gap > self.reach.skipped else self.reach.large
        self.buffer = self.read(offset, min(max(span, length), self.size - offset))
        self.begin = offset


def read_items(tar: Tar, texts: Container[str], left_out: Counter[str]) -> Iterator[Item]:
    """Yield the items of a tar.

    texts     extensions whose bytes are read, besides TEXTS
    left_out  counts the members that belong to no item, by the reason

    Raises DatasetError, with the tar and the byte, if it is damaged, compressed, or changes meanwhile.
    """
    kinds: dict[str, str] = {}
    item, last = Item(""), None
    with _opened(tar) as (read, reach):
        window = Window(read, tar.size, reach)
        for entry in _entries(tar, window):
            if entry.kind != FILE:
                left_out[entry.kind] += 1
                continue
            key, extension = _split(entry.name)
            if not extension or len(entry.name) > MAX_NAME_BYTES:
                left_out[LONG if extension else UNNAMED] += 1
                continue
            if key != last or item.has(extension):
                if last is not None:
                    yield item
                item, last = Item(_shown(key)), key
            kind = kinds.get(extension)
            if kind is None:
                kind = _kind(extension, texts)
                if len(kinds) < 1000:
                    kinds[extension] = kind
            _add(item, entry, extension, kind, window)
            left_out[OTHER] += kind == OTHER
    if last is not None:
        yield item


def _add(item: Item, entry: Entry, extension: str, kind: str, window: Window) -> None:
    """Add a member to its item, unless that cannot be used anyway."""
    if item.wrong is not None:
        return
    try:
        name = entry.name.decode()
    except UnicodeDecodeError:
        item.wrong = "its name is not UTF-8; rename it"
        return
    if "\0" in name:
        item.wrong = "its name has a zero byte; rename it"
    elif kind == MEDIUM:
        item.media.append((extension, name, entry.header, entry.size))
        if entry.size == 0:
            item.wrong = f"{extension} is empty"
        elif len(item.media) > MAX_MEMBERS:
            item.wrong = f"it has more than {MAX_MEMBERS} images and videos"
    elif kind == TEXT:
        item.text_bytes += entry.size
        if item.text_bytes > MAX_TEXT_BYTES or len(item.texts) == MAX_MEMBERS:
            item.wrong = (
                f"with {extension} its {len(item.texts) + 1:,} texts have {item.text_bytes:,} bytes; at most "
                f"{MAX_MEMBERS:,} texts and {MAX_TEXT_BYTES:,} bytes are read"
            )
        else:
            item.texts[extension] = window(entry.data, entry.size)
    elif len(item.others) < 10:
        item.others.append(extension)


def _entries(tar: Tar, window: Window) -> Iterator[Entry]:
    offset = 0
    try:
        while (entry := read_entry(window, offset)) is not None:
            if entry.data + entry.size > tar.size:
                raise TarDamage(entry.header, f"a member of {entry.size:,} bytes ends beyond the tar")
            yield entry
            offset = entry.end
    except TarDamage as error:
        if error.at == 0 and (tool := _tool(window(0, BLOCK_BYTES))) is not None:
            raise DatasetError(
                f"{tar.address} is compressed, and members of a compressed tar cannot be read one by one; "
                f"unpack it to a .tar: {tool} FILE"
            ) from error
        raise DatasetError(
            f"{tar.address} is damaged at byte {error.at} of {tar.size}: {error}; is it complete, and a tar?"
        ) from error


def _tool(head: bytes) -> str | None:
    return next((tool for mark, tool in PACKED.items() if head.startswith(mark)), None)


@contextmanager
def _opened(tar: Tar) -> Iterator[tuple[Callable[[int, int], bytes], Reach]]:
    """Yield what reads a range of the tar. Raises DatasetError if it cannot be read, or is another now."""
    store, key = open_parent(tar.address, pipes=False)
    try:
        if tar.address.startswith("s3://"):
            yield lambda offset, length: store.read_range(key, offset, length, tar.etag), S3
            return
        with store.open(key) as stream:
            descriptor = stream.fileno()
            yield lambda offset, length: os.pread(descriptor, length, offset), LOCAL
            now = os.fstat(descriptor)
            if (now.st_size, str(now.st_mtime_ns)) != (tar.size, tar.etag):
                raise Changed(tar.address)
    except Changed as error:
        raise DatasetError(f"{tar.address} has changed while it was read; submit again") from error
    except (StorageError, OSError) as error:
        raise DatasetError(f"{tar.address} cannot be read: {error}") from error


def _split(name: bytes) -> tuple[bytes, str]:
    """Return key and extension of a member, as WebDataset does: its directory and its name up to the first
    dot, and what is behind that dot, in lower case."""
    folder, slash, base = name.rpartition(b"/")
    stem, _, extension = base.partition(b".")
    if not stem:
        return b"", ""
    key = folder + slash + stem if slash else stem
    return key.removeprefix(b"./"), extension.decode("utf-8", "backslashreplace").lower()


def _kind(extension: str, texts: Container[str]) -> str:
    if extension in texts:
        return TEXT
    if is_media("." + extension):
        return MEDIUM
    return TEXT if extension.rpartition(".")[2] in TEXTS else OTHER


def _shown(key: bytes) -> str:
    return key.decode("utf-8", "backslashreplace")

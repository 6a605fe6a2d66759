"""WebDataset: items in tars, whose members are media and texts with one key."""

import hashlib
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from savs.data.readers.reader import FIELDS, Given, Row
from savs.data.readers.tars.label_file import LabelFile
from savs.data.readers.tars.repeated_keys import RepeatedKeys
from savs.data.readers.tars.side_by_side import side_by_side
from savs.data.readers.tars.tar_index import Item, Tar, read_items
from savs.data.readers.tars.tar_rows import TarRows
from savs.errors import SettingsError

THREADS = 16  # tars on S3 that are read at the same time


class TarReader:
    """The tars at `addresses`, local paths or s3://, in this order. Their headers are read once, and the
    texts in them; media are read when they are labelled.

    Raises NotFound, and SettingsError if a column is given for what is no field.
    """

    kind = "WebDataset"

    def __init__(self, addresses: Sequence[str], given: Given) -> None:
        if wrong := [field for field in given.columns if field not in FIELDS]:
            raise SettingsError(f"--columns: {wrong[0]!r} is not a field; the fields are {', '.join(FIELDS)}")
        self.given = given
        with ThreadPoolExecutor(THREADS) as pool:
            self.tars = [*pool.map(Tar.of, addresses)]
        self.labels = None if given.sidecar is None else LabelFile(given.sidecar, given)
        self.making = TarRows(given)
        self.left_out: list[Counter[str]] = [Counter() for _ in self.tars]
        self.repeated = RepeatedKeys()

    def found(self) -> str:
        """What is left out, and which keys repeat, is known only once the rows were read."""
        count = len(self.tars)
        said = [f"{count:,} tar{'s' if count > 1 else ''}"]
        if used := self.making.used:
            said.append(", ".join(f"{field}={'|'.join(used[field])}" for field in FIELDS if field in used))
        total = sum(self.left_out, Counter[str]())
        said += [f"{total[reason]:,} {reason} left out" for reason in sorted(total)]
        if self.repeated.count:
            first = ", ".join(map(repr, self.repeated.first))
            more = ", …" if self.repeated.count > len(self.repeated.first) else ""
            said.append(f"{self.repeated.count:,} items have the key of an earlier one ({first}{more})")
        if self.labels is not None:
            said.append(str(self.labels))
        return "; ".join(said)

    def identity(self) -> str:
        digest = hashlib.sha256()
        for tar in self.tars:
            text = f"{tar.address}\0{tar.size}\0{tar.etag}\n"
            digest.update(text.encode("utf-8", "surrogateescape"))
        digest.update(("" if self.labels is None else self.labels.etag).encode())
        return digest.hexdigest()

    def rows(self) -> Iterator[Row]:
        new_fields = {} if self.labels is None else self.labels.fields
        for address, item in self._items():
            new = None if self.labels is None else self.labels.row(item.key)
            self.repeated.add(item.key)
            yield self.making.row(item, address, new, new_fields)
        self.repeated.finish()
        columns = set(self.given.columns.values()) - self.making.seen - set(new_fields.values())
        if columns:
            name = min(columns)
            raise SettingsError(
                f"--columns: no item of {self.tars[0].address} has {name!r}, as .{name} or in .json"
            )

    def _items(self) -> Iterator[tuple[str, Item]]:
        """Yield the address of a tar and an item in it, for all items in order."""
        texts = frozenset(column for field, column in self.given.columns.items() if field != "image")
        sources = [partial(_items_of, *of, texts) for of in zip(self.tars, self.left_out, strict=True)]
        if self.tars and self.tars[0].address.startswith("s3://"):
            yield from side_by_side(sources, THREADS, _size)
            return
        for source in sources:
            yield from source()


def _items_of(tar: Tar, left_out: Counter[str], texts: frozenset[str]) -> Iterator[tuple[str, Item]]:
    for item in read_items(tar, texts, left_out):
        yield tar.address, item


def _size(value: tuple[str, Item]) -> int:
    return len(value[1].key) + value[1].text_bytes + sum(len(name) for _, name, _, _ in value[1].media)

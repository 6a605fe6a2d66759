"""An object as a file in which one can seek."""

import io
from typing import Any

from savs.storage.store import Store


class RangedFile(io.RawIOBase):
    """An object that is read by ranges; wrap it in a BufferedReader for small reads. Its size is asked for
    once, and so is its ETag if `etag` is given: ranges of another object raise Changed."""

    def __init__(self, store: Store, key: str, etag: str | None = None) -> None:
        self.store, self.key, self.etag = store, key, etag
        self.length, self.place = store.size(key), 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self.place, io.SEEK_END: self.length}[whence]
        self.place = max(0, start + offset)
        return self.place

    def tell(self) -> int:
        return self.place

    def readinto(self, buffer: Any) -> int:
        wanted = min(len(buffer), max(0, self.length - self.place))
        data = self.store.read_range(self.key, self.place, wanted, self.etag) if wanted else b""
        buffer[: len(data)] = data
        self.place += len(data)
        return len(data)

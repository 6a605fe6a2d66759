"""Images and videos in a folder or below an s3:// prefix: a corpus as it is, or a folder per class."""

import hashlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from savs.data.media import VIDEO_SUFFIXES
from savs.data.readers.reader import Given, Row, unusable
from savs.errors import DatasetError
from savs.storage import Store
from savs.storage.store import Listed

IMAGE_SUFFIXES = (
    *(".jpg", ".jpeg", ".png", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm", ".jfif", ".avif"),
    *(".heic", ".heif", ".jp2"),
)
SHOWN = 3  # files that are left out, of each reason


def is_media(name: str) -> bool:
    """Return whether a file is called like an image or a video."""
    return name.lower().endswith((*IMAGE_SUFFIXES, *VIDEO_SUFFIXES))


def _is_hidden(name: str) -> bool:
    return name.startswith(".") or name == "__MACOSX"


@dataclass
class LeftOut:
    """Files that are no items: how many, of each reason, and the first ones."""

    counts: Counter[str] = field(default_factory=Counter)
    first: dict[str, list[str]] = field(default_factory=dict)

    def add(self, reason: str, name: str) -> None:
        self.counts[reason] += 1
        shown = self.first.setdefault(reason, [])
        if len(shown) < SHOWN:
            shown.append(name)

    def __str__(self) -> str:
        said = (
            f"{count:,} {reason} ({', '.join(map(repr, self.first[reason]))}"
            f"{', …' if count > len(self.first[reason]) else ''})"
            for reason, count in self.counts.items()
        )
        return f"left out: {', '.join(said)}" if self.counts else ""


class FolderReader:
    """A folder of media at `address`, in `store`. The files are listed once and in order; they are identified
    by name, size and time or ETag."""

    kind = "folder of images and videos"

    def __init__(self, store: Store, address: str, given: Given) -> None:
        self.store, self.address, self.given = store, address, given
        self.left_out = LeftOut()
        self.digest = hashlib.sha256()
        self.done = False
        self.classes: Counter[str] = Counter()

    def found(self) -> str:
        """What is left out is known only once the rows were read."""
        classes = f"{len(self.classes)} classes from its subfolders; " if self.given.labelled else ""
        return f"{classes}{self.left_out}".rstrip("; ")

    def identity(self) -> str | None:
        return self.digest.hexdigest() if self.done else None

    def rows(self) -> Iterator[Row]:
        """Raises DatasetError if rows must have labels, and there are no folders of classes."""
        for file in self.store.walk(""):
            reason = self._no_item(file)
            if reason is not None:
                self.left_out.add(reason, file.key)
                continue
            self.digest.update(f"{file.key}\0{file.size}\0{file.etag}\n".encode("utf-8", "surrogateescape"))
            yield self._row(file)
        self.done = True
        if self.given.labelled:
            for name in self.store.folders(""):
                if name not in self.classes and not _is_hidden(name):
                    self.left_out.add("without images or videos", name)
        if not self.classes and self.given.labelled:
            raise DatasetError(
                f"{self.address} has no subfolders with images or videos; examples are in one folder per "
                "class, which is called like it"
            )

    def _no_item(self, file: Listed) -> str | None:
        parts = file.key.split("/")
        if any(map(_is_hidden, parts)):
            return "hidden"
        if not is_media(file.key):
            return "no image or video"
        if self.given.labelled and (len(parts) == 1 or not parts[0]):
            return "outside of the class folders"
        return None

    def _row(self, file: Listed) -> Row:
        try:
            file.key.encode()
        except UnicodeEncodeError:
            shown = file.key.encode("ascii", "backslashreplace").decode()
            return unusable(f"{self.address}/{shown}", "its name is not UTF-8; rename it")
        address = f"{self.address}/{file.key}"  # the key of an object may begin with a slash
        if file.size == 0:
            return unusable(address, "the file is empty")
        row: Row = {"image": address, "id": file.key}
        if self.given.labelled:
            row["label"] = file.key.partition("/")[0]
            self.classes[row["label"]] += 1
        return row

"""What all readers have in common: the rows that they yield, and what a user says about a dataset."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from savs.data.formats import UNUSABLE

FIELDS = ("image", "label", "question", "id")  # of a manifest, which columns may be mapped to
Row = dict[str, Any]  # a row of the manifest, in the `general` format


@dataclass(frozen=True)
class Given:
    """What the user says about a dataset.

    kind         its kind, if it is not to be found out
    columns      field of a manifest → column, for those that are not called as usual
    class_names  names of numeric labels, in order
    sidecar      address of labels by key, for old shards
    base         folder or s3:// address of relative paths; None: the dataset's own folder
    labelled     whether rows must have labels; folders then name the classes
    general      whether rows in JSON are of the `general` format, and their fields may be called otherwise
    """

    kind: str | None = None
    columns: Mapping[str, str] = field(default_factory=dict)
    class_names: Sequence[str] = ()
    sidecar: str | None = None
    base: str | None = None
    labelled: bool = False
    general: bool = True


class Reader(Protocol):
    """A dataset whose rows can be read once, in an order that only depends on its content."""

    kind: str

    def found(self) -> str:
        """Return what was found, in words, for the line that the user sees: `image=path, label=class`."""
        ...

    def identity(self) -> str | None:
        """Return what identifies the content: names, sizes and ETags or times; None as long as only reading
        the rows can tell."""
        ...

    def rows(self) -> Iterator[Row]:
        """Yield the rows. One that cannot be used has the field UNUSABLE instead, with where and why.
        Raises ManifestError if the rest of the dataset cannot be read."""
        ...


def unusable(where: str, reason: str) -> Row:
    """Return the row of an item that cannot be used."""
    return {UNUSABLE: f"{where}: {reason}"}

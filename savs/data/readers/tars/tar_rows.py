"""The row of an item in a tar: its media with their places, and the fields that its texts hold."""

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from pydantic_core import from_json

from savs.data.formats import CELLS
from savs.data.readers.columns import USUAL, Columns, row_of
from savs.data.readers.reader import Given, Row, unusable
from savs.data.readers.tars.tar_index import Item
from savs.data.samples import Reading
from savs.errors import BadRow

FIELDS = {  # where a field usually is, the most telling first
    "label": ("label", "cls", *USUAL["label"][1:]),
    "question": USUAL["question"],
    "id": ("id", "question_id"),
}
NOWHERE = Reading("")  # rows have no paths: media are members


class TarRows:
    """Makes rows of items as the user wants them.

    used  field → the columns that it was taken from
    seen  columns that were given and found
    """

    def __init__(self, given: Given) -> None:
        self.given = given
        self.used: dict[str, dict[str, None]] = {}
        self.seen: set[str] = set()
        self._fields = lru_cache(1024)(self._fields_among)

    def row(
        self, item: Item, address: str, new: Mapping[str, Any] | None, new_fields: Mapping[str, str]
    ) -> Row:
        """Return the row of an item in the tar at `address`.

        new         its values in the label file, which take the place of its own
        new_fields  field → column of the label file
        """
        where = f"{address}#{item.key}"
        if item.wrong is not None:
            return unusable(where, item.wrong)
        media = self._media(item)
        if not media:
            among = ", ".join((*item.texts, *item.others)) or "its members"
            return unusable(where, f"no image or video among {among}")
        try:
            values = _values(item.texts)
            fields = dict(self._fields(tuple(values)))
            if new:
                values |= new
                fields |= {field: column for field, column in new_fields.items() if column in new}
            for field, column in fields.items():
                self.used.setdefault(field, {}).setdefault(column)
            others = tuple(name for name in values if name not in fields.values())
            row = row_of(values, Columns(fields, others), NOWHERE, self.given.class_names)
        except (BadRow, ValueError) as error:  # ValueError: a number with thousands of digits
            return unusable(where, str(error))
        places = [[len(address), header, size] for _, _, header, size in media]
        names = [f"{address}#{name}" for _, name, _, _ in media]
        return {"image": names, CELLS: places, "id": item.key} | row

    def _media(self, item: Item) -> list[tuple[str, str, int, int]]:
        """Return the media in order of their names; only that one which the user chose, if so."""
        if (chosen := self.given.columns.get("image")) is None:
            return item.media if len(item.media) == 1 else sorted(item.media)
        found = [medium for medium in item.media if medium[0] == chosen]
        if found:
            self.seen.add(chosen)
        return found

    def _fields_among(self, names: tuple[str, ...]) -> dict[str, str]:
        """Return field → column for those among the columns `names`."""
        fields: dict[str, str] = {}
        for field, usual in FIELDS.items():
            given = self.given.columns.get(field)
            taken = (*fields.values(), *self.given.columns.values())
            wanted = (given,) if given is not None else [name for name in usual if name not in taken]
            if found := [name for name in wanted if name in names]:
                fields[field] = found[0]
                self.seen.update(found[:1])
        return fields


def _values(texts: Mapping[str, bytes]) -> dict[str, Any]:
    """Return the columns of an item's texts: the fields of its .json, and one for each other text. Raises
    BadRow."""
    values: dict[str, Any] = {}
    for extension, data in sorted(texts.items(), key=lambda text: text[0] != "json"):
        try:
            if extension.rpartition(".")[2] != "json":
                values[extension] = data.decode("utf-8-sig").strip()
                continue
            found = from_json(data.removeprefix(b"\xef\xbb\xbf"))
        except UnicodeDecodeError as error:
            raise BadRow(f"{extension} is not UTF-8: {error.reason} at byte {error.start}") from error
        except ValueError as error:
            raise BadRow(f"{extension} is not JSON: {error}") from error
        if extension != "json":
            values[extension] = found
        elif isinstance(found, dict):
            values |= found
        else:
            raise BadRow(f"json is not an object but {type(found).__name__}")
    return values

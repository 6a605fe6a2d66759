"""Which columns of a table are the fields of a manifest, and their values as such fields."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from savs.data.readers.reader import FIELDS, Given, Row
from savs.data.samples import Reading, locate
from savs.errors import BadRow, SettingsError

USUAL = {  # names that a field usually has, the most telling first
    "image": (
        *("image", "images", "video", "videos", "image_path", "video_path", "media", "file_name", "filename"),
        *(
            "filepath",
            "file_path",
            "path",
            "file",
            "image_url",
            "video_url",
            "url",
            "uri",
            "src",
            "img",
            "jpg",
        ),
    ),
    "label": ("label", "class", "class_name", "category", "target", "species", "answer"),
    "question": ("question", "prompt"),
    "id": ("id", "question_id", "image_id", "item_id", "key", "__key__"),
}
SHOWN = 20  # columns in a message
WHOLE = re.compile(r"([0-9]{1,9})(?:\.0+)?")  # numbers of classes; spreadsheets write 1.0
UNKNOWN = "-1"


@dataclass(frozen=True)
class Columns:
    """The columns of a table.

    fields   field of a manifest → its column
    others   the rest, which is kept
    left     columns that are left out: without a name, or of bytes
    """

    fields: Mapping[str, str]
    others: tuple[str, ...]
    left: tuple[str, ...] = ()

    def __str__(self) -> str:
        said = [", ".join(f"{field}={column}" for field, column in self.fields.items())]
        if self.others:
            said.append(f"{len(self.others)} other column{'s' if len(self.others) > 1 else ''} kept")
        if self.left:
            said.append(f"left out: {', '.join(name or 'a column without a name' for name in self.left)}")
        return "; ".join(said)


def choose_columns(names: Sequence[str], given: Given, address: str) -> Columns:
    """Return which of the columns `names` hold the fields: those that are given, else those that are called
    as usual, in any case of letters. Raises SettingsError if one that is given, or all media, are missing,
    or two columns have the same name."""
    if twice := sorted(name for name, count in Counter(names).items() if count > 1 and name):
        raise SettingsError(f"{address}: two columns are called {twice[0]!r}; rename one")
    for field, column in given.columns.items():
        if field not in FIELDS:
            raise SettingsError(f"--columns: {field!r} is not a field; the fields are {', '.join(FIELDS)}")
        if column not in names:
            raise SettingsError(f"--columns: {address} has no column {column!r}; it has {listed(names)}")
    fields = dict(given.columns)
    lower = {name.strip().lower(): name for name in reversed(names) if name}
    for field in FIELDS:
        taken = set(fields.values())
        usual = [lower[name] for name in USUAL[field] if name in lower and lower[name] not in taken]
        if field not in fields and usual:
            fields[field] = usual[0]
    if "image" not in fields and "question" not in fields:
        raise SettingsError(
            f"{address} has no column of images; it has {listed(names)}. Name it: --columns image=NAME"
        )
    if given.labelled and "label" not in fields:
        raise SettingsError(
            f"{address} has no column of labels; it has {listed(names)}. Name it: --columns label=NAME"
        )
    ordered = {field: fields[field] for field in FIELDS if field in fields}
    taken = set(ordered.values())
    others = tuple(name for name in names if name and name not in taken)
    return Columns(ordered, others, ("",) if "" in names else ())


def listed(names: Sequence[str]) -> str:
    """Return names as they are shown in a message."""
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return (", ".join(map(repr, names[:SHOWN])) or "no columns") + more


def row_of(values: Mapping[str, Any], columns: Columns, reading: Reading, class_names: Sequence[str]) -> Row:
    """Return the row of a manifest with the values of a table's row. Raises BadRow."""
    row: Row = {}
    for field, column in columns.fields.items():
        value = values.get(column)
        if field == "image":
            row["image"] = [locate(path, reading) for path in _paths(value, column)]
        elif value is None or value == "" or value != value:  # NaN
            continue
        elif field == "label":
            if (label := label_of(value, class_names, column)) is not None:
                row["label"] = label
        elif isinstance(value, str):
            row[field] = value
        elif isinstance(value, bool | dict | list | bytes):
            raise BadRow(f"{column!r} must be text, not {type(value).__name__}")
        else:
            row[field] = str(_whole(value))
    extra = {name: values[name] for name in columns.others if values.get(name) not in (None, "")}
    if extra:
        row["extra"] = extra
    return row


def _whole(value: Any) -> Any:
    """Return the integer that a float stands for, as tables have it whose columns miss values."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _paths(value: Any, column: str) -> list[str]:
    if value is None or value == "" or value == []:
        raise BadRow(f"{column!r} is empty")
    found = value if isinstance(value, list) else [value]
    if wrong := [path for path in found if not isinstance(path, str) or not path.strip()]:
        raise BadRow(f"{column!r} must hold paths, not {wrong[0]!r:.40}")
    return found


def label_of(value: Any, class_names: Sequence[str], column: str) -> Any:
    """Return the label of a value: the name of a numeric one if names are given, else its text. A list
    stays a list. None is the label of -1, by which Hugging Face says that it is not known. Raises BadRow."""
    if isinstance(value, list):
        return [label_of(one, class_names, column) for one in value]
    value = _whole(value)
    if value is None or isinstance(value, dict | bytes | float):
        raise BadRow(f"{column!r} must be a label, not {type(value).__name__}")
    text = str(value).lower() if isinstance(value, bool) else str(value)
    if not class_names:
        return text
    whole = WHOLE.fullmatch(text)
    if whole and int(whole[1]) < len(class_names):
        return class_names[int(whole[1])]
    if text in class_names:
        return text
    if text == UNKNOWN:
        return None
    raise BadRow(f"{column!r} is {text!r:.40}, which is none of the {len(class_names)} class names")

"""What the schema of a Parquet or Arrow file says about its columns."""

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from savs.data.readers.columns import Columns
from savs.errors import SettingsError

if TYPE_CHECKING:
    import pyarrow


@dataclass(frozen=True)
class Layout:
    """What a schema says.

    names    of the columns
    cells    columns that hold the bytes of a medium, and where: in themselves, or in their level `bytes`
    paths    those of them that have a level `path`, and where it is
    bytes    columns that hold bytes anywhere
    classes  names of numeric labels, if the schema has them, by column
    """

    names: tuple[str, ...]
    cells: dict[str, str]
    paths: dict[str, str]
    bytes: frozenset[str]
    classes: dict[str, list[str]]

    @classmethod
    def of(cls, schema: "pyarrow.Schema") -> "Layout":
        import pyarrow

        cells: dict[str, str] = {}
        paths: dict[str, str] = {}
        for field in schema:
            if _is_bytes(field.type):
                cells[field.name] = field.name
            elif pyarrow.types.is_struct(field.type) and _is_bytes(_level(field.type, "bytes")):
                cells[field.name] = f"{field.name}.bytes"
                if _is_text(_level(field.type, "path")):
                    paths[field.name] = f"{field.name}.path"
        held = frozenset(field.name for field in schema if _holds_bytes(field.type))
        return cls(tuple(schema.names), cells, paths, held, _class_names(schema))

    def without_bytes(self, columns: Columns, address: str) -> Columns:
        """Return `columns` without those that hold bytes, except for media. Raises SettingsError if a field
        has bytes that cannot be read."""
        for field, name in columns.fields.items():
            if name in self.bytes and (field != "image" or name not in self.cells):
                what = "more than the bytes of one medium" if field == "image" else "bytes"
                raise SettingsError(
                    f"{address}: the column {name!r}, from which {field!r} is read, holds {what}; write "
                    f"{'paths, or one medium per row' if field == 'image' else 'text'}, or name another: "
                    f"--columns {field}=NAME"
                )
        left = tuple(name for name in columns.others if name in self.bytes)
        others = tuple(name for name in columns.others if name not in self.bytes)
        return Columns(columns.fields, others, (*columns.left, *left))


def _is_bytes(kind: "pyarrow.DataType | None") -> bool:
    import pyarrow

    types = pyarrow.types
    return kind is not None and bool(
        types.is_binary(kind) or types.is_large_binary(kind) or types.is_binary_view(kind)
    )


def _is_text(kind: "pyarrow.DataType | None") -> bool:
    import pyarrow

    types = pyarrow.types
    return kind is not None and bool(types.is_string(kind) or types.is_large_string(kind))


def _level(kind: "pyarrow.DataType", name: str) -> "pyarrow.DataType | None":
    """Return the type of a level of a struct; None if it has no such level."""
    return kind.field(name).type if kind.get_field_index(name) >= 0 else None


def _holds_bytes(kind: "pyarrow.DataType") -> bool:
    import pyarrow

    if isinstance(kind, pyarrow.BaseExtensionType):
        return _holds_bytes(kind.storage_type)
    if pyarrow.types.is_dictionary(kind):
        return _holds_bytes(kind.value_type)
    if pyarrow.types.is_nested(kind):
        return any(_holds_bytes(kind.field(place).type) for place in range(kind.num_fields))
    return _is_bytes(kind) or bool(pyarrow.types.is_fixed_size_binary(kind))


def _class_names(schema: "pyarrow.Schema") -> dict[str, list[str]]:
    """Return the names of labels that Hugging Face's `ClassLabel` has put into a schema."""
    try:
        features = json.loads((schema.metadata or {})[b"huggingface"])["info"]["features"]
        return {
            str(name): [str(one) for one in feature["names"]]
            for name, feature in features.items()
            if isinstance(feature, dict) and feature.get("_type") == "ClassLabel"
        }
    except (KeyError, ValueError, TypeError, AttributeError, RecursionError):
        return {}

"""Rows of Parquet and Arrow files, as Hugging Face's `datasets` writes them, too. Columns of bytes are not
read: images in them are opened where they are, when they are shown to the model."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import IO, TYPE_CHECKING, Any

from savs.data.formats import CELLS
from savs.data.readers.columns import Columns, choose_columns, row_of
from savs.data.readers.reader import Given, Row, unusable
from savs.data.samples import Reading, base_of
from savs.data.tables import arrow_batches, arrow_schema, mark_of, needed_pyarrow, open_file, open_parquet
from savs.errors import BadRow, DatasetError

if TYPE_CHECKING:
    import pyarrow

ROWS_AT_ONCE = 4096
PARQUET = b"PAR1"


@dataclass(frozen=True)
class _Layout:
    """What a schema says.

    names    of the columns
    bytes    columns that hold the bytes of media, and where: in themselves, or in their level `bytes`
    classes  names of numeric labels, if the schema has them, by column
    """

    names: tuple[str, ...]
    bytes: dict[str, str]
    classes: dict[str, list[str]]

    @classmethod
    def of(cls, schema: "pyarrow.Schema") -> "_Layout":
        import pyarrow

        found: dict[str, str] = {}
        for field in schema:
            if _is_bytes(field.type):
                found[field.name] = field.name
            elif pyarrow.types.is_struct(field.type) and _is_bytes(_level(field.type)):
                found[field.name] = f"{field.name}.bytes"
        return cls(tuple(schema.names), found, _class_names(schema))


def _is_bytes(kind: "pyarrow.DataType") -> bool:
    import pyarrow

    types = pyarrow.types
    return bool(types.is_binary(kind) or types.is_large_binary(kind) or types.is_binary_view(kind))


def _level(kind: "pyarrow.DataType") -> "pyarrow.DataType":
    """Return the type of the level `bytes` of a struct, or the struct itself."""
    return kind.field("bytes").type if kind.get_field_index("bytes") >= 0 else kind


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


class ColumnarReader:
    """Parquet or Arrow files with the same columns, in order."""

    def __init__(self, addresses: Sequence[str], given: Given) -> None:
        needed_pyarrow(addresses[0])
        self.addresses = addresses
        with open_file(addresses[0]) as stream:
            self.kind = "Parquet" if stream.read(4) == PARQUET else "Arrow"
            stream.seek(0)
            self.layout = _Layout.of(self._schema(stream, addresses[0]))
        self.columns = choose_columns(self.layout.names, given, addresses[0])
        label = self.columns.fields.get("label", "")
        names = given.class_names or self.layout.classes.get(label, ())
        self.given = replace(given, class_names=tuple(names), base=given.base or base_of(addresses[0]))
        self.marks: list[str] = []
        for address in addresses:
            with open_file(address) as stream:
                self.marks.append(mark_of(stream))

    def found(self) -> str:
        files = f"{len(self.addresses):,} files, " if len(self.addresses) > 1 else ""
        classes = f"; {len(self.given.class_names)} class names" if self.given.class_names else ""
        return f"{files}{self.columns}{classes}"

    def identity(self) -> str:
        return " ".join(self.marks)

    def rows(self) -> Iterator[Row]:
        for address, mark in zip(self.addresses, self.marks, strict=True):
            with open_file(address) as stream:
                layout = _Layout.of(self._schema(stream, address))
                if missing := [one for one in self.columns.fields.values() if one not in layout.names]:
                    raise DatasetError(
                        f"{address} has no column {missing[0]!r}, which {self.addresses[0]} has"
                    )
                yield from self._rows_of(stream, address, mark, layout)

    def _rows_of(self, stream: IO[bytes], address: str, mark: str, layout: _Layout) -> Iterator[Row]:
        image = self.columns.fields.get("image", "")
        where = layout.bytes.get(image)
        others = tuple(
            name for name in self.columns.others if name in layout.names and name not in layout.bytes
        )
        fields = {f: name for f, name in self.columns.fields.items() if f != "image" or where is None}
        columns, reading = Columns(fields, others), Reading(self.given.base or "")
        number = 0
        for first, batch in self._batches(stream, address, [*fields.values(), *others]):
            for at, values in enumerate(batch):
                try:
                    row = row_of(values, columns, reading, self.given.class_names)
                    if where is not None:
                        place = [where, number, mark] if first is None else [where, at, mark, first]
                        row["image"] = [f"{address}#row={number}"]
                        row[CELLS] = [[len(address), *place]]
                except BadRow as error:
                    row = unusable(f"{address}#row={number}", str(error))
                yield row
                number += 1

    def _schema(self, stream: IO[bytes], address: str) -> "pyarrow.Schema":
        import pyarrow

        try:
            if self.kind == "Parquet":
                return open_parquet(stream, address).schema_arrow
            return arrow_schema(stream)
        except (pyarrow.ArrowException, OSError) as error:
            raise DatasetError(f"{address} is no whole {self.kind} file: {error}") from error
        finally:
            stream.seek(0)

    def _batches(
        self, stream: IO[bytes], address: str, names: list[str]
    ) -> Iterator[tuple[int | None, list[dict[str, Any]]]]:
        """Yield rows of the columns `names`, many at a time, without a column if there is none; before them
        the place of their batch in an Arrow file."""
        import pyarrow

        try:
            if self.kind == "Parquet":
                file = open_parquet(stream, address)
                if not names:
                    yield from _empty(file.metadata.num_rows)
                    return
                for batch in file.iter_batches(ROWS_AT_ONCE, columns=names):
                    yield None, batch.to_pylist()
                return
            for place, batch in arrow_batches(stream):
                yield place, batch.select(names).to_pylist() if names else [{}] * batch.num_rows
        except (pyarrow.ArrowException, OSError, ValueError) as error:
            raise DatasetError(f"{address} cannot be read to its end: {error}") from error


def _empty(rows: int) -> Iterator[tuple[None, list[dict[str, Any]]]]:
    for first in range(0, rows, ROWS_AT_ONCE):
        yield None, [{}] * min(ROWS_AT_ONCE, rows - first)

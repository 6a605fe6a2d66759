"""The values of Arrow's columns as Python objects. A value that cannot be one costs its row only."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from savs.errors import BadRow

if TYPE_CHECKING:
    import pyarrow


@dataclass(frozen=True)
class _Unreadable:
    """A value that cannot be read, and why."""

    reason: str


def rows_in(batch: "pyarrow.RecordBatch") -> list[dict[str, Any]]:
    """Return the rows of a batch."""
    try:
        return list(batch.to_pylist())
    except (ValueError, OverflowError):  # text that is not UTF-8; times that Python does not have
        columns = map(_values, batch.columns)
        return [dict(zip(batch.schema.names, row, strict=True)) for row in zip(*columns, strict=True)]


def check_read(row: dict[str, Any]) -> None:
    """Raises BadRow if a value cannot be read."""
    for name, value in row.items():
        if isinstance(value, _Unreadable):
            raise BadRow(f"{name!r} cannot be read: {value.reason}")


def _values(column: "pyarrow.Array") -> list[Any]:
    import pyarrow

    try:
        return list(column.to_pylist())
    except (ValueError, OverflowError):
        kind = column.type
        if pyarrow.types.is_timestamp(kind):
            # The name of its zone may be unknown here; the point in time is not. Python has microseconds.
            unit = "us" if kind.unit == "ns" else kind.unit
            column = column.cast(pyarrow.timestamp(unit, kind.tz and "UTC"), safe=False)
        return [_value(one) for one in column]


def _value(scalar: "pyarrow.Scalar") -> Any:
    try:
        return scalar.as_py()
    except (ValueError, OverflowError) as error:
        number = getattr(scalar, "value", None)  # of a time that Python does not have: the year 33658
        return number if isinstance(number, int) else _Unreadable(str(error))

"""Tables in memory as rows: a DataFrame of pandas or polars, or a table of Arrow.

None of these libraries is imported here: a table is recognised by its methods.
"""

from collections.abc import Iterator
from difflib import get_close_matches
from math import isnan
from typing import Any

from savs.data.formats import IDS, SHOWN
from savs.errors import WrongValue

NEEDED = ("image", "question")  # columns, of which a table of items has at least one
OTHER_NAMES = ("path", "file", "filename", "file_name", "filepath", "media", "images", "url", "video")
LISTED = 8  # columns that an error names


def is_frame(items: object) -> bool:
    """Return whether `items` is a table whose rows are items."""
    if hasattr(items, "to_dict"):  # pandas, whose Series are no tables
        return hasattr(items, "columns") and hasattr(items, "notna")
    return callable(getattr(items, "to_dicts", None)) or hasattr(items, "column_names")


def rows_of(frame: Any) -> Iterator[dict[str, Any]]:
    """Yield a mapping per row of `frame`, without the cells that are missing: None, NaN, NaT, NA. Raises
    WrongValue, which names the columns, if it has neither `image` nor `question`."""
    _check([str(name) for name in getattr(frame, "columns", getattr(frame, "column_names", ()))], frame)
    if hasattr(frame, "to_dict"):
        there = frame.notna()
        names = [str(name) for name in frame.columns]
        for row, known in zip(
            frame.itertuples(index=False, name=None), there.itertuples(index=False, name=None), strict=True
        ):
            yield {
                name: _whole(value) if name in IDS else _plain(value)
                for name, value, has in zip(names, row, known, strict=True)
                if has
            }
        return
    for row in frame.to_dicts() if hasattr(frame, "to_dicts") else frame.to_pylist():
        yield {name: value for name, value in row.items() if not _missing(value)}


def _whole(value: Any) -> Any:
    """An id; of whole numbers that pandas has made floats, since one is missing, the number."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _plain(value: Any) -> Any:
    """A cell's value; of an array of texts, as pandas reads a list of them from Parquet, the list."""
    return value.tolist() if getattr(getattr(value, "dtype", None), "kind", "") in ("O", "U", "T") else value


def _missing(value: Any) -> bool:
    return value is None or (isinstance(value, float) and isnan(value))


def _check(names: list[str], frame: object) -> None:
    if hasattr(frame, "column_names"):  # Arrow, whose `columns` are the values
        names = list(frame.column_names)
    if any(name in names for name in NEEDED):
        return
    known = {name.lower(): name for name in names}
    near = [*get_close_matches("image", known, 1), *(name for name in OTHER_NAMES if name in known)]
    listed = ", ".join(repr(name[:SHOWN]) for name in names[:LISTED])
    hint = f"; call the column {known[near[0]]!r} 'image'" if near else ""
    raise WrongValue(
        f"the table has the columns {listed or '(none)'}, and needs 'image' (paths or images) or "
        f"'question'{hint}"
    )

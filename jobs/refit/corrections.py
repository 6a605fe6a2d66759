"""Labels that people have corrected, read from JSONL, CSV, or an export of Label Studio."""

import csv
import io
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from savs.data.labels import Label
from savs.errors import NotFound, SettingsError
from savs.storage import open_parent, without_scheme

MOST_BYTES = 2**30


@dataclass(frozen=True)
class Corrections:
    """The right labels of rows of a corpus, by their index or their id."""

    by_index: dict[int, Label]
    by_id: dict[str, Label]

    def __len__(self) -> int:
        return len(self.by_index) + len(self.by_id)

    def label_of(self, index: int, id: str) -> Label | None:
        """Return the corrected label of a row; None if it has none."""
        return self.by_index.get(index, self.by_id.get(id))


def read_corrections(address: str) -> Corrections:
    """Return the corrections in the file at `address`, local or s3://: JSONL or CSV with `index` or `id`, and
    `label`; or a JSON list as Label Studio exports it. Raises SettingsError, which names the line or the
    task."""
    try:
        store, key = open_parent(without_scheme(address))
        data = store.read(key)
    except NotFound as error:
        raise SettingsError(f"{address}: {error}") from error
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise SettingsError(f"{address} is not UTF-8: {error.reason} at byte {error.start}") from error
    begin = text.lstrip()[:1]
    rows = (
        _tasks(text, address)
        if begin == "["
        else _lines(text, address)
        if begin == "{"
        else _csv(text, address)
    )
    by_index: dict[int, Label] = {}
    by_id: dict[str, Label] = {}
    for where, index, id, label in rows:
        if index is not None:
            by_index[index] = label
        elif id is not None:
            by_id[id] = label
        else:
            raise SettingsError(f"{where}: neither 'index' nor 'id' says which row it is")
    if not by_index and not by_id:
        raise SettingsError(f"{address} has no corrections")
    return Corrections(by_index, by_id)


Found = tuple[str, int | None, str | None, Label]


def _lines(text: str, address: str) -> Iterator[Found]:
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        where = f"{address}:{number}"
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise SettingsError(f"{where}: not JSON: {error}") from error
        if not isinstance(row, dict):
            raise SettingsError(f"{where}: not an object")
        yield where, _index(row.get("index"), where), _id(row), _label(row.get("label"), where)


def _csv(text: str, address: str) -> Iterator[Found]:
    rows = csv.DictReader(io.StringIO(text, newline=""))
    names = rows.fieldnames or []
    if "label" not in names or not {"index", "id"} & set(names):
        raise SettingsError(
            f"{address}: needs columns 'label', and 'index' or 'id'; it has {', '.join(names)}"
        )
    for row in rows:
        where = f"{address}:{rows.line_num}"
        index = row.get("index") or None
        yield (
            where,
            _index(int(index) if index and index.isdecimal() else index, where),
            _id(row),
            _label(row["label"], where),
        )


def _tasks(text: str, address: str) -> Iterator[Found]:
    try:
        tasks = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise SettingsError(f"{address}: not JSON: {error}") from error
    for number, task in enumerate(tasks):
        where = f"{address}, task {number}"
        try:
            data = task["data"]
            done = [one for one in task.get("annotations") or () if not one.get("was_cancelled")]
            chosen = [
                name for one in done[-1:] for part in one["result"] for name in part["value"]["choices"]
            ]
        except (KeyError, TypeError, AttributeError) as error:
            raise SettingsError(f"{where}: not a task of Label Studio with choices") from error
        if done:
            label = chosen[0] if len(chosen) == 1 else chosen
            yield where, _index(data.get("index"), where), _id(data), _label(label, where)


def _index(value: Any, where: str) -> int | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise SettingsError(f"{where}: 'index' is {value!r:.40}, which is no number of a row")
    return value


def _id(row: dict[str, Any]) -> str | None:
    return None if row.get("id") in (None, "") else str(row["id"])


def _label(value: Any, where: str) -> Label:
    if isinstance(value, str) and value.strip():
        return value
    if isinstance(value, list) and all(isinstance(one, str) and one.strip() for one in value):
        return tuple(value)
    raise SettingsError(f"{where}: 'label' must be text, or a list of texts")

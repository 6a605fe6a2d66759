"""Reads corrections from JSONL, CSV, or an export of Label Studio."""

import csv
import io
import json
from collections.abc import Iterator
from typing import Any

from jobs.refit.corrections import Correction
from savs.data.labels import Label, listed_labels
from savs.errors import BadRow, NotFound, SettingsError
from savs.storage import open_parent, without_scheme

MOST_BYTES = 2**30  # of a file, which is read at once
LABEL_STUDIO = "annotation_id"  # a column that only its CSV has, whose `id` is its own


def read_corrections(address: str) -> list[Correction]:
    """Return the corrections in the file at `address`, local or s3://, in its order.

    JSONL or CSV: `label`, or `unusable`, and which row it is: `index` or `id` of a row of the corpus, or
    `training`, the number of an example; `task` if rows of several tasks are in the file. Rows with an empty
    `label` are skipped: nobody has labelled them yet. Or a JSON list as Label Studio exports it.

    Raises SettingsError, which names the line or the task.
    """
    text = _text(address)
    begin = text.lstrip()[:1]
    read = _tasks if begin == "[" else _lines if begin == "{" else _csv
    found = list(read(text, address))
    if not found:
        raise SettingsError(f"{address} has no corrections")
    return found


def _text(address: str) -> str:
    try:
        store, key = open_parent(without_scheme(address))
        if store.size(key) > MOST_BYTES:
            raise SettingsError(
                f"{address} has more than {MOST_BYTES >> 20} MB; is it a file of corrections?"
            )
        data = store.read(key)
    except NotFound as error:
        raise SettingsError(f"{address}: {error}") from error
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise SettingsError(f"{address} is not UTF-8: {error.reason} at byte {error.start}") from error


def _lines(text: str, address: str) -> Iterator[Correction]:
    for number, line in enumerate(text.split("\n"), 1):  # other line breaks may be inside of texts
        if not line.strip():
            continue
        where = f"{address}:{number}"
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise SettingsError(f"{where}: not JSON: {error}") from error
        if not isinstance(row, dict):
            raise SettingsError(f"{where}: not an object")
        if _filled(row):
            yield _correction(row, where)


def _filled(row: dict[str, Any]) -> bool:
    return bool(row.get("unusable")) or "label" not in row or row["label"] not in (None, "")


def _csv(text: str, address: str) -> Iterator[Correction]:
    rows = csv.DictReader(io.StringIO(text, newline=""))
    try:
        names = rows.fieldnames or []
        if not {"label", "unusable"} & set(names) or not {"index", "id", "training"} & set(names):
            raise SettingsError(
                f"{address}: needs columns 'label', and 'index' or 'id'; it has {', '.join(names)}"
            )
        foreign = LABEL_STUDIO in names and "index" in names
        for row in rows:
            where = f"{address}:{rows.line_num}"
            cells: dict[str, Any] = {name: value for name, value in row.items() if value}
            for name in ("index", "training"):
                if name in cells:
                    cells[name] = _number(cells[name])
            cells["unusable"] = str(cells.get("unusable", "")).strip().lower() in ("true", "1", "yes")
            if cells["unusable"] or "label" in cells or "label" not in names:
                yield _correction(cells | ({"id": None} if foreign else {}), where)
    except csv.Error as error:
        raise SettingsError(f"{address}:{rows.line_num}: not CSV: {error}") from error


def _number(text: str) -> int | str:
    return int(text) if text.isdecimal() and len(text) < 20 else text


def _tasks(text: str, address: str) -> Iterator[Correction]:
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
                name
                for one in done[-1:]
                for part in one["result"]
                if "choices" in part["value"]
                for name in _choices(part["value"]["choices"])
            ]
            row = {name: data.get(name) for name in ("index", "id", "task")}
        except (KeyError, TypeError, AttributeError) as error:
            raise SettingsError(f"{where}: not a task of Label Studio with choices") from error
        if done:
            yield _correction(row | {"label": chosen[0] if len(chosen) == 1 else chosen}, where)


def _choices(names: Any) -> list[Any]:
    if not isinstance(names, list):
        raise TypeError("choices are a list")
    return names


def _correction(row: dict[str, Any], where: str) -> Correction:
    unusable = row.get("unusable")
    if unusable not in (None, True, False):
        raise SettingsError(f"{where}: 'unusable' is {unusable!r:.40}; use true, or leave it out")
    found = Correction(
        where,
        None if unusable else _label(row.get("label"), where),
        _place(row, "index", where),
        None if row.get("id") in (None, "") else str(row["id"]),
        _place(row, "training", where),
        None if row.get("task") in (None, "") else str(row["task"]),
    )
    if found.index is not None and found.training is not None:
        raise SettingsError(f"{where}: 'index' is a row of the corpus and 'training' an example; give one")
    if found.index is None and found.id is None and found.training is None:
        raise SettingsError(f"{where}: neither 'index' nor 'id' says which row it is")
    return found


def _place(row: dict[str, Any], name: str, where: str) -> int | None:
    value = row.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise SettingsError(f"{where}: {name!r} is {value!r:.40}, which is no number of a row")
    return value


def _label(value: Any, where: str) -> Label:
    if not isinstance(value, str | list):
        raise SettingsError(f"{where}: 'label' must be text, or a list of texts")
    try:
        listed = listed_labels(value if isinstance(value, list) else [value], "label")
    except BadRow as error:
        raise SettingsError(f"{where}: 'label' must be text, or a list of texts: {error}") from error
    return listed if isinstance(value, list) else listed[0]

"""Probabilities and labels of rows as arrays, as cleanlab takes them."""

import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from savs.errors import SettingsError

Row = dict[str, Any]


def write_arrays(read: Callable[[], Iterable[Row]], folder: Path) -> tuple[int, int]:
    """Write `pred_probs.npy` float32 [n, classes], `labels.npy` int64 [n], and `rows.json` with the names of
    the classes and the rows' indices and ids. Return n, and how many rows were left out: those without
    probabilities or votes, or without one known label.

    read  returns the rows, each time from the first on

    Raises SettingsError if no row can be used.
    """
    import numpy as np
    from numpy.lib.format import open_memmap

    classes: dict[str, int] = {}
    known, left = 0, 0
    for row in read():
        if _usable(row):
            known += 1
            for name in (*_shares(row), row["label"]):
                classes.setdefault(name, len(classes))
        else:
            left += 1
    if not known:
        raise SettingsError("--to cleanlab: no row has both a label and probabilities or votes")
    folder.mkdir(parents=True, exist_ok=True)
    shape = (known, len(classes))
    probabilities = open_memmap(folder / "pred_probs.npy", mode="w+", dtype=np.float32, shape=shape)
    labels, rows = np.zeros(known, np.int64), []
    for place, row in enumerate(filter(_usable, read())):
        for name, share in _shares(row).items():
            probabilities[place, classes[name]] = share
        labels[place] = classes[row["label"]]
        rows.append({"index": row["index"], "id": row["id"]})
    probabilities.flush()
    np.save(folder / "labels.npy", labels)
    (folder / "rows.json").write_text(json.dumps({"classes": [*classes], "rows": rows}, ensure_ascii=False))
    return known, left


def _usable(row: Row) -> bool:
    return isinstance(row.get("label"), str) and not row.get("error") and bool(_shares(row))


def _shares(row: Row) -> dict[str, float]:
    """Return the probability of each class, or its share of the votes; they add up to 1."""
    found: dict[str, float] = row.get("scores") or row.get("votes") or {}
    total = sum(found.values())
    return {name: value / total for name, value in found.items()} if total else {}

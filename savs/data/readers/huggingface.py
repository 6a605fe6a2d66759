"""Datasets that Hugging Face's `save_to_disk` wrote into a folder."""

import json
import re
from collections.abc import Mapping
from typing import Any

from savs.data.readers.columnar import ColumnarReader
from savs.data.readers.reader import Given
from savs.errors import DatasetError, NotFound, SettingsError
from savs.storage import join, open_store

NAME = re.compile(r"[^/\0]*[^/.\0][^/\0]*")  # of a file in the same folder


def saved_reader(address: str, given: Given) -> ColumnarReader:
    """Return the reader of the dataset in the folder at `address`. Raises SettingsError if it has several
    splits, and DatasetError if it is damaged."""
    store = open_store(address)
    if store.exists("dataset_dict.json"):
        splits = _read(address, "dataset_dict.json").get("splits")
        names = [str(one) for one in splits] if isinstance(splits, list) else []
        raise SettingsError(
            f"{address} has the splits {', '.join(names) or '(none)'}; give one of them, as in "
            f"{join(address, *names[:1])}"
        )
    files = _read(address, "state.json").get("_data_files")
    files = files if isinstance(files, list) else []
    parts = [one.get("filename") for one in files if isinstance(one, dict)]
    if not parts or not all(isinstance(part, str) and NAME.fullmatch(part) for part in parts):
        raise DatasetError(f"{address}/state.json names no data files")
    reader = ColumnarReader([join(address, str(part)) for part in parts], given)
    reader.kind = "Arrow"
    return reader


def _read(address: str, name: str) -> Mapping[str, Any]:
    try:
        found = json.loads(open_store(address).read(name))
    except NotFound as error:
        raise DatasetError(f"{address} has no {name}; is it what save_to_disk wrote?") from error
    except (ValueError, RecursionError) as error:
        raise DatasetError(f"{address}/{name} is no JSON: {error}") from error
    if not isinstance(found, dict):
        raise DatasetError(f"{address}/{name} is no JSON object")
    return found

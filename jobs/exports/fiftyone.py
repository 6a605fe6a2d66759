"""Result rows as a FiftyOne dataset on disk: `metadata.json`, `samples.json`, and copies in `data/`.

The files are in the older of the two forms that `fiftyone.types.FiftyOneDataset` reads: without a `version`
in the metadata, FiftyOne takes samples as plain JSON, and finds out the fields itself. The newer form is a
copy of records of its database, which change from version to version.
"""

import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from jobs.exports.image_folder import safe_name
from savs.data.media import base_name, copy_media, is_video
from savs.errors import ItemError, SettingsError
from savs.storage import LocalStore

Row = dict[str, Any]
DOUBTFUL = 0.5  # confidence below which a prediction is more likely wrong than right
LIKELIEST = 10  # classes of a sample whose probability is written


@dataclass
class Written:
    """How many samples were written; `left` is how many rows were not, by the reason."""

    samples: int = 0
    left: dict[str, int] = field(default_factory=dict)


def write_dataset(read: Callable[[], Iterable[Row]], folder: Path) -> Written:
    """Write a dataset into `folder`, or, if there are images and videos, which FiftyOne keeps apart, two into
    `folder/images` and `folder/videos`. Media that are no local files are copied.

    read  returns the rows, each time from the first on

    Raises SettingsError if the folder is not empty.
    """
    if folder.exists() and any(folder.iterdir()):
        raise SettingsError(f"--to: {folder} is not empty; name a new folder")
    kinds, classes = set(), dict[str, None]()
    for row in read():
        kinds |= {is_video(media) for media in row.get("media", ())[:1]}
        classes |= dict.fromkeys((*_names(row), *_known(row), *(row.get("scores") or ())))
    written = Written()
    for videos in sorted(kinds):
        place = folder if len(kinds) == 1 else folder / ("videos" if videos else "images")
        place.mkdir(parents=True, exist_ok=True)
        rows = (row for row in read() if [is_video(one) for one in row.get("media", ())[:1]] == [videos])
        store = LocalStore(place)
        store.write_blocks("samples.json", _samples(rows, place, written))
        info = {"default_classes": [*classes], "description": "written by savs-submit results"}
        store.write("metadata.json", json.dumps({"name": folder.name, "info": info}).encode())
    without = sum(not row.get("media") for row in read())
    written.left |= {"without media": without} if without else {}
    return written


def _samples(rows: Iterable[Row], folder: Path, written: Written) -> Iterator[bytes]:
    begin = b'{"samples": [\n'
    for row in rows:
        path = _path(row, folder)
        if path is None:
            why = "whose media cannot be copied"
            written.left[why] = written.left.get(why, 0) + 1
            continue
        yield begin + json.dumps(sample_of(row, path)).encode()
        written.samples += 1
        begin = b",\n"
    yield b"\n]}\n" if begin == b",\n" else b'{"samples": []}\n'


def _path(row: Row, folder: Path) -> str | None:
    """Return the path of a row's first media, absolute or relative to the dataset; None without one."""
    address = row["media"][0]
    target = folder / "data" / f"{row['index']:08d}-{safe_name(base_name(address))}"
    try:
        address.encode()  # FiftyOne's database takes only text
        if "://" not in address and Path(address).is_file():
            return str(Path(address).absolute())
        target.parent.mkdir(exist_ok=True)
        with target.open("wb") as file:
            copy_media(address, file)
    except (ItemError, OSError, ValueError):
        target.unlink(missing_ok=True)
        return None
    return f"data/{target.name}"


def sample_of(row: Row, path: str) -> Row:
    """Return a row as a sample of FiftyOne.

    `predictions` and `ground_truth` are a Classification, or Classifications for lists of labels; `eval` says
    whether they are the same, as FiftyOne's own evaluations do; `likeliest` has the most probable classes.
    Tags: `error`, `doubtful`, and `no prediction`.
    """
    said, known, error = _names(row), _known(row), row.get("error")
    several, labelled = "predictions" in row, row.get("label") is not None
    scores, confidence = row.get("scores") or {}, row.get("confidence")
    sample: Row = {"filepath": path, "tags": _tags(row), "savs_id": row["id"], "savs_index": row["index"]}
    sample["savs_task"] = row["task"]
    if said or several:
        sample["predictions"] = _labels(said, several, scores, confidence)
    if labelled:
        sample["ground_truth"] = _labels(known, several or isinstance(row["label"], list), {}, None)
        if not error:
            sample["eval"] = set(said) == set(known)
    if scores:
        most = sorted(scores, key=lambda name: -scores[name])[:LIKELIEST]
        sample["likeliest"] = _labels(most, True, scores, None)
    sample |= {name: row[name] for name in ("margin", "entropy") if row.get(name) is not None}
    if error:
        sample |= {"error": error["kind"], "error_message": error["message"]}
    if row["media"][1:]:
        sample["media"] = row["media"]
    return sample


def _tags(row: Row) -> list[str]:
    if row.get("error"):
        return ["error"]
    confidence = row.get("confidence")
    tags = ["doubtful"] if confidence is not None and confidence < DOUBTFUL else []
    return tags if "predictions" in row or row.get("prediction") is not None else [*tags, "no prediction"]


def _labels(names: list[str], several: bool, scores: dict[str, float], confidence: float | None) -> Row:
    each = []
    for name in names:
        share = scores.get(name, confidence)
        each.append(
            {"_cls": "Classification", "label": name} | ({} if share is None else {"confidence": share})
        )
    return {"_cls": "Classifications", "classifications": each} if several else each[0]


def _names(row: Row) -> list[str]:
    found: list[str] = row.get("predictions") or []
    return found or ([row["prediction"]] if row.get("prediction") is not None else [])


def _known(row: Row) -> list[str]:
    label = row.get("label")
    return label if isinstance(label, list) else [] if label is None else [label]

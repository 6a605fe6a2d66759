"""Loads datasets of `results --to fiftyone:DIR` with FiftyOne itself: `python -m tests.fiftyone DIR …`.

To be run in an environment of its own, where savs need not be installed:

    python -m venv /tmp/fiftyone && /tmp/fiftyone/bin/pip install fiftyone mongomock
    /tmp/fiftyone/bin/python -m tests.fiftyone DIR

FiftyOne needs a MongoDB. Set FIFTYONE_DATABASE_URI to use a server; otherwise mongomock, which keeps its data
in this process, takes its place. The exit code is 1 if a sample or a field is not what `samples.json` says.
"""

import json
import os
import sys
from pathlib import Path
from typing import Any

PLAIN = ("savs_id", "savs_index", "savs_task", "eval", "margin", "entropy", "error", "error_message", "media")
LABELS = ("predictions", "ground_truth", "likeliest")


def emulate_mongodb() -> None:
    """Let every client of MongoDB in this process be mongomock's, with one store."""
    import mongoengine.connection
    import mongomock
    import pymongo
    from mongomock.store import ServerStore

    store = ServerStore()

    class Client(mongomock.MongoClient):  # type: ignore[misc]
        _closed = False  # FiftyOne asks for it

        def __init__(self, *given: Any, **named: Any) -> None:
            super().__init__(*given, **{**named, "_store": store})

    pymongo.MongoClient = mongoengine.connection.MongoClient = Client
    os.environ |= {"FIFTYONE_DATABASE_URI": "mongodb://localhost", "FIFTYONE_DATABASE_VALIDATION": "false"}


def check(folder: Path) -> int:
    """Load a dataset, and return how many samples differ from the file."""
    import fiftyone

    found = fiftyone.Dataset.from_dir(dataset_dir=str(folder), dataset_type=fiftyone.types.FiftyOneDataset)
    given = json.loads((folder / "samples.json").read_text())["samples"]
    wrong = abs(len(given) - len(found))
    for sample, one in zip(found, given, strict=False):
        same = sample.filepath.endswith(one["filepath"]) and sample.tags == one["tags"]
        same &= all(sample.get_field(name) == one[name] for name in PLAIN if name in one)
        same &= all(
            pairs(sample.get_field(name).to_dict()) == pairs(one[name]) for name in LABELS if name in one
        )
        wrong += not same
    classes = json.loads((folder / "metadata.json").read_text())["info"]["default_classes"]
    wrong += found.default_classes != classes
    fields = ", ".join(found.get_field_schema())
    print(f"{folder}: {len(found)} samples ({found.media_type}), {wrong} differ; fields {fields}")
    return wrong


def pairs(label: dict[str, Any]) -> list[tuple[str, float | None]]:
    """The names and confidences in a label of FiftyOne."""
    each = label.get("classifications", [label])
    return [(one["label"], one.get("confidence")) for one in each]


if __name__ == "__main__":
    os.environ.setdefault("FIFTYONE_DO_NOT_TRACK", "1")
    if "FIFTYONE_DATABASE_URI" not in os.environ:
        emulate_mongodb()
    if len(sys.argv) < 2:
        sys.exit(f"{__doc__}")
    sys.exit(sum(check(Path(one)) for one in sys.argv[1:]) > 0)

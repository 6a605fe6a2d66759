"""Small corpora of the demo's pictures, under the names and in the layouts of a page."""

import io
import json
import random
import shutil
import tarfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from savs.demo.corpus import save
from savs.demo.unseen import TASKS

STROKE = next(task for task in TASKS if task.name == "stroke")
EXAMPLES, ITEMS = 6, 24  # per class, and all


@dataclass(frozen=True)
class Picture:
    """A file and what it shows."""

    path: Path
    label: str


@cache
def drawn(folder: Path) -> tuple[list[Picture], list[Picture]]:
    """Pictures of examples and of a corpus in `folder`, drawn once."""
    rng = random.Random("docs")
    folder.mkdir(parents=True, exist_ok=True)

    def draw(name: str, label: str) -> Picture:
        path = folder / f"{name}.png"
        save(STROKE.draw(label, rng), path)
        return Picture(path, label)

    examples = [draw(f"example-{i}-{label}", label) for i in range(EXAMPLES) for label in STROKE.classes]
    return examples, [draw(f"{i:04d}", rng.choice(STROKE.classes)) for i in range(ITEMS)]


def rows(pictures: list[Picture], place: str, **more: Any) -> list[dict[str, Any]]:
    """A manifest's rows for pictures that `place` has; `more` are their other fields."""
    return [
        {"image": f"{place}/{one.path.name}", "question": STROKE.question, "label": one.label, **more}
        for one in pictures
    ]


def write_jsonl(path: Path, lines: list[dict[str, Any]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))


def copy(pictures: list[Picture], folder: Path, by_class: bool = False) -> None:
    for one in pictures:
        place = folder / one.label if by_class else folder
        place.mkdir(parents=True, exist_ok=True)
        shutil.copy(one.path, place)


def write_tar(path: Path, pictures: list[Picture], numbers: dict[str, int] | None = None) -> None:
    """A WebDataset shard; with `numbers`, each item has its class's number as `cls`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as tar:
        for index, one in enumerate(pictures):
            members = {f"{index:06d}.png": one.path.read_bytes()}
            if numbers is not None:
                members[f"{index:06d}.cls"] = str(numbers[one.label]).encode()
            for name, content in members.items():
                entry = tarfile.TarInfo(name)
                entry.size = len(content)
                tar.addfile(entry, io.BytesIO(content))

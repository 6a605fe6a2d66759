"""A corpus that a pilot reads only in part, and the results of a run on it that nobody disturbed."""

import json
import random
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jobs.ledger.ledger import Ledger
from jobs.ledger.results import result_rows
from jobs.records.job import KINDS, PILOT_ROWS, Job
from tests.jobs.conftest import Corpus, read_jsonl, write_jsonl

ITEMS = 840  # rows; a pilot reads 800 of them
ALONE = 35  # the place of a row among those that the pilot leaves, with a picture that no other row shows
ALONE_PICTURE = "pictures/alone.png"


@dataclass(frozen=True)
class Piloted:
    """A workspace with one job of each kind."""

    workspace: Path

    def job(self, kind: str) -> Job:
        [job] = [job for job in Ledger(str(self.workspace)).jobs() if job.spec.kind == kind]
        return job

    def folder(self, kind: str) -> Path:
        return self.workspace / "jobs" / self.job(kind).job_id

    def artifact(self, kind: str) -> Path:
        return self.workspace / "artifacts" / self.job(kind).spec.name / self.job(kind).job_id

    @property
    def rows(self) -> bytes:
        """The result rows, bytes as they are."""
        return b"".join(result_rows(Ledger(str(self.workspace)), self.job("classify").job_id))

    @property
    def parsed(self) -> list[dict[str, Any]]:
        return [json.loads(row) for row in self.rows.splitlines()]

    def summary(self, kind: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.folder(kind) / "summary.json").read_bytes())
        return found

    @property
    def tensors(self) -> dict[str, bytes]:
        """The readouts and the stored vectors of both artifacts, and the pilot's answers."""
        names = ("savs.safetensors", "examples.safetensors")
        found = {
            f"{kind} {name}": (self.artifact(kind) / name).read_bytes()
            for kind in ("extract", "pilot")
            for name in names
        }
        return found | {"answers": (self.folder("pilot") / "answers.safetensors").read_bytes()}

    def outcome(self) -> list[dict[str, Any]]:
        """All summaries without what two workspaces never share: times, and addresses in them."""
        own = ("timings", "created", "artifact", "job_id")
        return [{k: v for k, v in self.summary(kind).items() if k not in own} for kind in KINDS]

    @property
    def sampled(self) -> list[int]:
        """Indices of the rows that the pilot read."""
        lines = (self.folder("pilot") / "sample.jsonl").read_bytes().splitlines()
        return [json.loads(line)["index"] for line in lines]


def many_rows(corpus: Corpus) -> Path:
    """A manifest of ITEMS rows with the corpus' pictures, each again and again, but for ALONE_PICTURE."""
    rows = read_jsonl(corpus.data)
    many = [rows[i % len(rows)] | {"question_id": f"item-{i}"} for i in range(ITEMS)]
    shift = random.Random(0).random()
    read = {int((place + shift) * ITEMS / PILOT_ROWS) for place in range(PILOT_ROWS)}
    left = [i for i in range(ITEMS) if i not in read]
    many[left[ALONE]]["image"] = ALONE_PICTURE
    shutil.copy(corpus.pictures[left[ALONE] % len(rows)], corpus.folder / ALONE_PICTURE)
    return write_jsonl(corpus.folder / "many.jsonl", many)


def pilot_arguments(corpus: Corpus, model: Path, workspace: Path, data: Path, *more: object) -> list[str]:
    """The command line that fits on the corpus' examples, reads a pilot, and labels `data`."""
    return [
        *("run", "--train", str(corpus.train), "--data", str(data), "--name", "shapes"),
        *("--model", str(model), "--workspace", str(workspace), *map(str, more)),
    ]

"""What the tests of jobs share: a small corpus, the command line in this process and in others, and
the results of one run that nobody disturbed."""

import fcntl
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from jobs.cli import main
from jobs.ledger.ledger import Ledger
from jobs.ledger.results import result_rows
from jobs.records.job import Job
from jobs.records.outcome import Outcome

CLASSES = ("circle", "square", "star")
QUESTION = "Which shape is it?"
EXAMPLES = 24  # rows of train.jsonl, 8 per class
ROWS = 40  # rows of corpus.jsonl; every fifth has no label
HEADS = 5
SHARD = 4  # rows: 6 shards of examples and 10 of the corpus
PATIENCE = 90.0  # seconds until a condition that is waited for counts as never met


@dataclass(frozen=True)
class Corpus:
    """Pictures with their manifests. `pictures[i]` is the one of corpus row i."""

    folder: Path
    train: Path
    data: Path
    pictures: tuple[Path, ...]


def write_jsonl(path: Path, rows: list[Any]) -> Path:
    """`rows` as JSON, a line each; those that are bytes as they are."""
    lines = [row if isinstance(row, bytes) else json.dumps(row).encode() for row in rows]
    path.write_bytes(b"".join(line + b"\n" for line in lines))
    return path


def read_jsonl(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_bytes().splitlines()]


def make_corpus(folder: Path) -> Corpus:
    """Shapes in random colours and places, the same ones each time."""
    from savs.demo.scenes import draw_scene, random_scene

    rng = random.Random(11)
    (folder / "pictures").mkdir(parents=True)

    def row(name: str, shape: str, labelled: bool = True) -> dict[str, str]:
        draw_scene(replace(random_scene(rng), shape=shape), rng).save(folder / "pictures" / name)
        label = {"label": shape} if labelled else {}
        return {"image": f"pictures/{name}", "question": QUESTION} | label

    train = [row(f"train-{i:02d}.png", CLASSES[i % 3]) for i in range(EXAMPLES)]
    data = [row(f"item-{i:02d}.png", CLASSES[i % 3], i % 5 != 0) for i in range(ROWS)]
    return Corpus(
        folder,
        write_jsonl(folder / "train.jsonl", train),
        write_jsonl(folder / "corpus.jsonl", data),
        tuple(folder / "pictures" / f"item-{i:02d}.png" for i in range(ROWS)),
    )


@pytest.fixture(scope="session")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    """For tests that only read it."""
    return make_corpus(tmp_path_factory.mktemp("corpus") / "shapes")


@pytest.fixture
def own_corpus(tmp_path: Path) -> Corpus:
    """The same pictures again, for a test that spoils some."""
    return make_corpus(tmp_path / "shapes")


def savs_submit(*arguments: object) -> Result:
    """`savs-submit` in this process."""
    result = CliRunner().invoke(main, [str(a) for a in arguments])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def run_arguments(
    corpus: Corpus, model: Path, workspace: Path, *, name: str = "shapes", shard_size: int = SHARD
) -> list[str]:
    """The command line that fits on the corpus' examples and labels its items."""
    return [
        *("run", "--train", str(corpus.train), "--data", str(corpus.data), "--name", name),
        *("--model", str(model), "--workspace", str(workspace), "--heads", str(HEADS)),
        *("--readout", "reference"),
        *("--shard-size", str(shard_size), "--batch-tokens", "200"),
    ]


@contextmanager
def started(*arguments: object) -> Iterator[subprocess.Popen[str]]:
    """`savs-submit` in a process of its own, which does not outlive the block."""
    command = [str(Path(sys.executable).with_name("savs-submit")), *map(str, arguments)]
    process = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONFAULTHANDLER": "1"},
        # A shell starts what runs in its background deaf to Ctrl-C, and processes inherit that.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGABRT)  # shows where its threads are, if the test failed
            try:
                print(process.communicate(timeout=10)[1])
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def wait_until(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, f"never came: {what}"
        time.sleep(0.005)


class Blocked:
    """A picture that a process is stuck at: this process holds a lease on it, as file servers do, and the
    kernel lets nobody else open it until the lease is returned (or, 45 s later, is taken away).

    Whoever opens it stops there, so a test can choose its moment without a clock.
    """

    def __init__(self, picture: Path) -> None:
        self.picture = picture
        self.data = picture.read_bytes()
        signal.signal(signal.SIGIO, signal.SIG_IGN)  # which tells the holder that somebody waits
        self.held: int | None = os.open(picture, os.O_RDWR)
        fcntl.fcntl(self.held, fcntl.F_SETLEASE, fcntl.F_WRLCK)

    def wait_for_reader(self) -> None:
        def wanted() -> bool:
            assert self.held is not None
            return fcntl.fcntl(self.held, fcntl.F_GETLEASE) != fcntl.F_WRLCK

        wait_until(wanted, f"a reader of {self.picture.name}")

    def restore(self) -> None:
        """Puts the same picture in its place. Who is stuck at the old one stays there."""
        whole = self.picture.with_suffix(".whole")
        whole.write_bytes(self.data)
        whole.replace(self.picture)

    def feed(self) -> None:
        """Gives the picture to the one who is stuck, and so lets it go on."""
        if self.held is not None:
            os.close(self.held)
        self.held = None


@contextmanager
def blocked(picture: Path) -> Iterator[Blocked]:
    """`picture` cannot be opened in this block, unless it is fed or restored."""
    block = Blocked(picture)
    try:
        yield block
    finally:
        block.feed()


@dataclass(frozen=True)
class Finished:
    """What a run of `extract` and `classify` left in its workspace."""

    workspace: Path
    extract: Job
    classify: Job

    @property
    def rows(self) -> bytes:
        """The result rows, bytes as they are."""
        return b"".join(result_rows(Ledger(str(self.workspace)), self.classify.job_id))

    @property
    def tensors(self) -> bytes:
        folder = self.workspace / "artifacts" / self.extract.spec.name / self.extract.job_id
        return (folder / "savs.safetensors").read_bytes()

    def summary(self, kind: str) -> dict[str, Any]:
        job = self.extract if kind == "extract" else self.classify
        return json.loads((self.workspace / "jobs" / job.job_id / "summary.json").read_bytes())

    def outcome(self) -> list[dict[str, Any]]:
        """Both summaries without what two workspaces never share: times, and addresses in them."""
        own = ("timings", "created", "artifact", "job_id")
        return [
            {k: v for k, v in self.summary(kind).items() if k not in own} for kind in ("extract", "classify")
        ]


def finished(workspace: Path) -> Finished:
    """The workspace's newest jobs."""
    jobs = {job.spec.kind: job for job in Ledger(str(workspace)).jobs()}
    return Finished(workspace, jobs["extract"], jobs["classify"])


def one_job(workspace: Path, kind: str) -> Job:
    """The only job of that kind."""
    [job] = [job for job in Ledger(str(workspace)).jobs() if job.spec.kind == kind]
    return job


def commits(workspace: Path, kind: str) -> int:
    """Shards of the workspace's jobs of that kind that have an outcome, as the disk shows them."""
    return len(list(workspace.glob(f"jobs/*-{kind}-*/commits/*.json")))


def orphans(workspace: Path) -> list[str]:
    """Parts, and vectors beside them, that no commit names."""
    found = [Outcome.model_validate_json(p.read_bytes()) for p in workspace.glob("jobs/*/commits/*.json")]
    named = {name for outcome in found for name in outcome.objects}
    return sorted(p.name for p in workspace.glob("jobs/*/parts/*") if p.name not in named)


def tree(folder: Path) -> dict[str, tuple[int, bytes]]:
    """Every file below `folder`, with its time and its bytes, but for the signs of life of processes."""
    return {
        str(p.relative_to(folder)): (p.stat().st_mtime_ns, p.read_bytes())
        for p in sorted(folder.rglob("*"))
        if p.is_file() and p.name != "process.json"
    }


@pytest.fixture(scope="session")
def calm(corpus: Corpus, qwen2_vl: Path, tmp_path_factory: pytest.TempPathFactory) -> Finished:
    """One run that nobody disturbed. For tests that only read it."""
    workspace = tmp_path_factory.mktemp("calm") / "results"
    result = savs_submit(*run_arguments(corpus, qwen2_vl, workspace))
    assert result.exit_code == 0, result.output
    return finished(workspace)


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    return tmp_path / "results"

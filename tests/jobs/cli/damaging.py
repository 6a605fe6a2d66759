"""Damages a workspace and runs every command of `savs-submit` on it: each must answer with a sentence.

The damage is reproducible: it follows from the seed. No command may raise, quote the file that links lead to,
or print characters that control a terminal.
"""

import os
import random
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import chdir, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from click.testing import CliRunner

from jobs.cli import main
from jobs.ledger.ledger import Ledger
from jobs.plans.planner import plan_manifest
from jobs.records.job import ClassifySpec, Job, Source, job_id
from jobs.records.process import Process
from jobs.reduce.reducer import reduce_job
from jobs.shards.shard import give_up
from jobs.submit.retry import retry_job
from savs.artifact.artifact import save_artifact
from tests.jobs.cli.mutating import mutate
from tests.jobs.ledgers import classify_job, extract_job, plan_of, row, summary_of, write_outcome
from tests.savs.readout.test_artifact import make

SECRET = "what-only-the-reader-may-read"
CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f]")
HOSTILE = b"\x1b[31mred\xff"  # a name that colours a terminal and is not text
LONG = "x" * 5000
NAMES = ("pets", "birds", "pets-classify-00000000", LONG, "~nosuchuser/x", "../x", "[/x]", "")
PLACES = (LONG, "~nosuchuser/x", "rows.jsonl/x", "s3://", "ftp://x", "file://elsewhere/x")
CODES = (0, 1, 2, 3)


@dataclass(frozen=True)
class Damaged:
    """A workspace to damage, beside a manifest and a secret."""

    folder: Path

    @property
    def workspace(self) -> Path:
        return self.folder / "results"

    @property
    def rows(self) -> Path:
        return self.folder / "rows.jsonl"

    @property
    def secret(self) -> Path:
        return self.folder / "secret.json"

    def files(self) -> list[Path]:
        return sorted(path for path in self.workspace.rglob("*") if path.is_file())


def damage_and_run(seed: int, count: int) -> tuple[int, int, list[str]]:
    """Run `count` commands, each on a workspace with one thing wrong in it. Return how many were tried, how
    many answered with a sentence, and what the others did."""
    rng = random.Random(seed)
    failures = []
    with tempfile.TemporaryDirectory(prefix="savs-damaged-") as folder, _calm_environment(), chdir(folder):
        whole = make_workspace(Path(folder))
        shutil.copytree(whole.workspace, whole.folder / "whole")
        for number in range(count):
            what = _damage(whole, rng)
            command = _command(whole, rng)
            if (problem := _run(command)) is not None:
                failures.append(
                    f"seed {seed}, command {number}: {what}; {' '.join(command)[:300]}: {problem}"
                )
            shutil.rmtree(whole.workspace)
            shutil.copytree(whole.folder / "whole", whole.workspace)
    return count, count - len(failures), failures


@contextmanager
def _calm_environment() -> Iterator[None]:
    """Without settings of the user."""
    kept = {name: value for name, value in os.environ.items() if name.startswith("SAVS_")}
    for name in kept:
        del os.environ[name]
    try:
        yield
    finally:
        os.environ.update(kept)


def make_workspace(folder: Path) -> Damaged:
    """A workspace with an artifact, a job that was retried, one that was stopped, and a finished one."""
    made = Damaged(folder)
    made.secret.write_text(f'{{"{SECRET}": "{SECRET}", "status": "{SECRET}", "schema_version": 1}}')
    made.rows.write_text('{"question": "Which?", "label": "cat"}\n' * 4)
    ledger = Ledger(str(made.workspace))
    first = ledger.create_job(extract_job(), plan_of(2))
    write_outcome(ledger, first, 0, [row(0, "cat", "cat"), row(1, "dog", "dog")])
    ledger.write_summary(first.job_id, summary_of(first))
    save_artifact(make(), ledger.artifact_url("pets", first.job_id))
    source = Source(url=str(made.rows), etag=ledger.store.__class__(folder).etag("rows.jsonl"))
    for name in ("pets", "birds"):
        job = _labelling(ledger, made, name, source, first)
        plan = plan_manifest(str(made.rows), 1, labelled=False)
        ledger.create_job(job, plan)
        write_outcome(ledger, job, 0, [row(0, "cat", "cat")])
        write_outcome(ledger, job, 1, [row(1, None, "cat", error="missing_media")])
        write_outcome(ledger, job, 2, [row(2, "dog", "cat")])
        if name == "birds":
            process = Process(host="elsewhere", pid=1, seen=datetime(2020, 1, 1, tzinfo=UTC))
            ledger.store.write(f"jobs/{job.job_id}/process.json", process.model_dump_json().encode())
            ledger.judge(job.job_id, {"rows": 3, "failed": 1})
            continue
        give_up(ledger, job, plan.shard(3), "it died")
        reduce_job(ledger, job)
        retry_job(ledger, job, dead_only=False)
        write_outcome(ledger, job, 4, [row(1, "cat", "cat")])
        write_outcome(ledger, job, 5, [row(3, "dog", "cat")])
        reduce_job(ledger, job)
    ledger.cancel(job.job_id, "too many failed")
    ledger.write_rates("savs.gpu.demo", {"image": 3.5})
    return made


def _labelling(ledger: Ledger, made: Damaged, name: str, source: Source, first: Job) -> Job:
    job = classify_job(name, after=first.job_id, source=source)
    assert isinstance(job.spec, ClassifySpec)
    artifact = ledger.artifact_url("pets", first.job_id)
    spec = job.spec.model_copy(update={"artifact": artifact, "model": str(made.folder / "no-model")})
    return job.model_copy(update={"spec": spec, "job_id": job_id(spec)})


def _damage(made: Damaged, rng: random.Random) -> str:
    """Damage one file or folder. Return what was done."""
    file = rng.choice(made.files())
    path = rng.choice([file, file, file, *[p for p in file.parents if made.workspace in p.parents]])
    data = file.read_bytes()

    def changed() -> None:
        lines = data.split(b"\n") if file.suffix == ".jsonl" else [data]
        lines[0] = mutate(lines[0], rng) if file.suffix in (".json", ".jsonl") else rng.randbytes(40)
        file.write_bytes(b"\n".join(lines))

    def replaced(make: Callable[[Path], None]) -> Callable[[], None]:
        def replace() -> None:
            _remove(path)
            make(path)

        return replace

    ways: dict[str, Callable[[], None]] = {
        "change": changed,
        "header": lambda: file.write_bytes(_with_header(data, rng)),
        "remove": lambda: _remove(path),
        "folder": replaced(lambda p: p.mkdir()),
        "loop": replaced(lambda p: p.symlink_to(p)),
        "pipe": replaced(os.mkfifo),
        "link": replaced(lambda p: p.symlink_to(made.secret)),
        "link to a folder": replaced(lambda p: p.symlink_to(made.folder)),
        "hostile name": lambda: os.rename(os.fsencode(path), _beside(path)),  # noqa: PTH104
        "hostile copy": lambda: _copy_beside(path),
        "nothing": lambda: None,
    }
    way = rng.choice(["change"] * 8 + list(ways))
    ways[way]()
    return f"{way} {file if way in ('change', 'header') else path}"


def _remove(path: Path) -> None:
    shutil.rmtree(path) if path.is_dir() else path.unlink()


def _with_header(data: bytes, rng: random.Random) -> bytes:
    """`data` with the JSON header of a safetensors file damaged; other files are cut."""
    length = int.from_bytes(data[:8], "little")
    if not 8 < length < len(data):
        return data[: len(data) // 2]
    header = mutate(data[8 : 8 + length], rng)
    return len(header).to_bytes(8, "little") + header + data[8 + length :]


def _beside(path: Path) -> bytes:
    return os.fsencode(path.parent) + b"/" + HOSTILE


def _copy_beside(path: Path) -> None:
    copy = shutil.copytree if path.is_dir() else shutil.copy
    copy(os.fsencode(path), _beside(path))


def _command(made: Damaged, rng: random.Random) -> list[str]:
    """Return a command: one of all, with arguments that are sound or of nothing that is there."""
    name = rng.choice(["pets", "birds"] * 6 + list(NAMES))
    other = rng.choice(["birds", "pets"])
    rows = rng.choice([str(made.rows)] * 6 + list(PLACES))
    artifact = rng.choice(["pets", "pets", str(made.workspace / "artifacts" / "pets"), *NAMES])
    workspace = rng.choice([str(made.workspace)] * 12 + list(PLACES))
    json = rng.choice([["--json"], []])
    given = ["--workspace", workspace]
    model = ["--model", str(made.folder / "no-model")]
    labelling = ["--data", rows, "--name", name]
    out = rng.choice([[], ["--out", rng.choice([os.devnull, *PLACES])]])
    return rng.choice(
        [
            ["status", name, *json, *given],
            ["list", *json, *given],
            ["watch", name, *json, *given],
            ["results", name, *out, *given],
            ["logs", name, *json, *given],
            ["compare", name, other, *json, *given],
            ["artifacts", *json, *given],
            ["show", artifact, *json, *given],
            ["cancel", name, *json, *given],
            ["delete", name, "--yes", *json, *given],
            ["delete", "--orphans", *json, *given],
            ["resume", name, *rng.choice([["--retry-failed-shards"], []]), *json, *given],
            ["retry", name, *json, *given],
            ["plan", "--data", rows, *model, *json, *given],
            ["doctor", "--data", rows, *json, *given],
            ["classify", *labelling, "--artifact", artifact, *json, *given],
            ["classify", *labelling, "--zero-shot", *model, *json, *given],
            ["extract", "--train", rows, "--name", name, *model, *json, *given],
            ["run", "--train", rows, *labelling, *model, *json, *given],
        ]
    )


def _run(command: list[str]) -> str | None:
    """Run a command. Return what it did wrong; None if it answered with a sentence."""
    result = CliRunner().invoke(main, command)
    raised = result.exception
    if raised is not None and not isinstance(raised, SystemExit):
        return f"raised {type(raised).__name__}: {raised}"
    said = result.stdout + result.stderr
    if result.exit_code not in CODES:
        return f"exit code {result.exit_code}"
    if result.exit_code == 1 and not said.strip():
        return "no sentence"
    if SECRET in said:
        return f"it quoted the secret: {said[:300]!r}"
    if command[0] != "results" and CONTROL.search(said):
        return f"it printed control characters: {said[:300]!r}"
    return None

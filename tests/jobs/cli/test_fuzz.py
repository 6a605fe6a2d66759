"""More than 2,000 damaged inputs: each is usable all the same, or a typed error, never anything else.

The damage is reproducible: a name's bytes seed it. What is usable must also be worked off without
anything but a typed error, as far as that goes without a model.
"""

import base64
import json
import random
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest

from jobs.ledger.ledger import Ledger
from jobs.ledger.plans import Plans
from jobs.ledger.results import result_rows
from jobs.plans.planner import plan_manifest
from jobs.queue.broker import message_time
from jobs.records.job import Job, Source
from jobs.records.message import RunShard
from jobs.reduce.brake import apply_brake
from jobs.reduce.failures import explain_failures
from jobs.reduce.reducer import reduce_job
from jobs.reduce.status import job_state
from jobs.shards.rows import ManifestRow, read_shard_rows
from jobs.shards.shard import give_up
from jobs.submit.retry import retry_job
from savs.artifact.artifact import load_artifact, save_artifact
from savs.errors import LedgerError, SavsError
from tests.jobs.cli.mutating import mutate
from tests.jobs.ledgers import classify_job, row, write_outcome
from tests.savs.readout.test_artifact import make
from workers.messages.envelope import Unusable, message_in

MUTATIONS = 400  # per kind of input


def damaged(name: str, whole: bytes, use: Callable[[bytes], None], count: int = MUTATIONS) -> None:
    """Gives `use` so many damaged versions of `whole`, some of which must be refused."""
    rng = random.Random(zlib.crc32(name.encode()))
    refused = 0
    for number in range(count):
        data = mutate(whole, rng)
        try:
            use(data)
        except SavsError:
            refused += 1
        except Exception as error:
            raise AssertionError(f"{name}, mutation {number}: {data[:3000]!r}") from error
    assert refused > count / 10, f"{name}: the mutations no longer hurt"


ROWS = [
    {"image": "a.png", "question": "What is it?", "label": "cat", "question_id": "x"},
    {"image": ["b.png", "sub/c.mp4"], "question": "Which?", "label": "dog", "id": 7},
    {"image": None, "question": "Anything?", "label": "cat"},
    {"image": "s3://bucket/d.jpg", "question": "What?", "label": "owl"},
]


def write_rows(path: Path) -> bytes:
    data = b"".join(json.dumps(one).encode() + b"\n" for one in ROWS)
    path.write_bytes(data)
    return data


def job_on(path: Path, ledger: Ledger) -> Job:
    """A job over the manifest at `path`, planned in shards of one row, not written."""
    job = classify_job()
    source = Source(url=str(path), etag=ledger.store.etag(path.name))
    return job.model_copy(update={"spec": job.spec.model_copy(update={"data": source})})


def test_manifests(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    lines = write_rows(path).splitlines(keepends=True)
    ledger = Ledger(str(tmp_path))
    rng = random.Random(3)
    hurt = 0

    def use(line: bytes) -> None:
        nonlocal hurt
        place = rng.randrange(len(lines))
        path.write_bytes(b"".join(lines[:place]) + line + b"\n" + b"".join(lines[place:]))
        plan = plan_manifest(str(path), 2, labelled=False)
        job = job_on(path, ledger)
        read = [entry for shard in plan for entry in read_shard_rows(ledger, job, shard, None).entries]
        assert [entry.index for entry in read] == list(range(plan.rows))
        assert sum(entry.error is not None for entry in read) == plan.problems
        assert sum(not isinstance(entry, ManifestRow) or entry.sample is not None for entry in read) >= 4
        hurt += plan.problems > 0
        plan_manifest(str(path), 2, labelled=True)

    for number, one in enumerate(lines):
        damaged(f"manifest {number}", one.rstrip(b"\n"), use, MUTATIONS // len(lines))
    assert hurt > MUTATIONS / 5


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return Ledger(str(tmp_path))


@pytest.fixture
def job(ledger: Ledger, tmp_path: Path) -> Job:
    """A job that has ended: a row failed, a shard was given up and was redone, and that is retried."""
    write_rows(tmp_path / "rows.jsonl")
    plan = plan_manifest(str(tmp_path / "rows.jsonl"), 1, labelled=False)
    job = ledger.create_job(job_on(tmp_path / "rows.jsonl", ledger), plan)
    write_outcome(ledger, job, 0, [row(0, "cat", "cat")])
    write_outcome(ledger, job, 1, [row(1, None, "dog", error="missing_media")])
    write_outcome(ledger, job, 2, [row(2, "dog", "cat")])
    give_up(ledger, job, plan.shard(3), "it died")
    reduce_job(ledger, job)
    retry_job(ledger, job, dead_only=False)
    write_outcome(ledger, job, 4, [row(1, None, "dog", error="bad_row")])
    write_outcome(ledger, job, 5, [row(3, "owl", "owl")])
    reduce_job(ledger, job)
    return job


def read_all(ledger: Ledger, job_id: str) -> None:
    """All that commands and workers read of a job, short of running a model."""
    job = ledger.job(job_id)
    job_state(ledger, job)
    explain_failures(ledger, job)
    list(result_rows(ledger, job_id))
    list(ledger.orphans(job_id))
    for shard in ledger.planned(job_id):
        read_shard_rows(ledger, job, shard, None)
        apply_brake(ledger, job, shard)
    reduce_job(ledger, job)


@pytest.mark.parametrize(
    ("name", "count"),
    [
        ("job.json", MUTATIONS),
        ("shards.json", MUTATIONS // 2),
        ("retries/0000.json", MUTATIONS // 2),
        ("commits/0000001.json", MUTATIONS // 2),
        ("commits/0000003.json", MUTATIONS // 4),
        ("commits/0000004.json", MUTATIONS // 4),
    ],
)
def test_what_lies_in_the_ledger(ledger: Ledger, job: Job, tmp_path: Path, name: str, count: int) -> None:
    path = tmp_path / "jobs" / job.job_id / name
    summary = path.parent / "summary.json" if name == "job.json" else path.parents[1] / "summary.json"

    def use(data: bytes) -> None:
        path.write_bytes(data)
        summary.unlink(missing_ok=True)
        read_all(ledger, job.job_id)

    read_all(ledger, job.job_id)
    damaged(name, path.read_bytes(), use, count)


def test_messages(ledger: Ledger, job: Job) -> None:
    message = RunShard(task="classify_shard", job_id=job.job_id, shard=1, epoch=2, at=1.5)
    usable = 0

    def use(data: bytes) -> None:
        nonlocal usable
        body = base64.b64encode(b"[[%s], {}, {}]" % data).decode()
        envelope = {
            "body": body,
            "headers": {"task": message.task},
            "properties": {"body_encoding": "base64"},
        }
        assert isinstance(message_time(json.dumps(envelope)), float)
        try:
            found = message_in(envelope, "savs.gpu.demo:0")
        except Unusable as error:
            raise SavsError("dropped with a warning") from error
        usable += 1
        shard = Plans(ledger).shard(found.job_id, found.shard)
        if shard is not None:
            read_shard_rows(ledger, ledger.job(found.job_id), shard, None)

    damaged("message", message.model_dump_json().encode(), use)
    assert usable > MUTATIONS / 20


@pytest.mark.parametrize("change", [{"rows": 2}, {"length": 10**30}, {"offset": 10**30}])
def test_a_shard_that_is_not_as_it_was_planned_is_not_run(
    ledger: Ledger, job: Job, change: dict[str, int]
) -> None:
    shard = ledger.planned(job.job_id).shard(1)

    with pytest.raises(LedgerError, match=r"shard 1 has \d rows, but \d were planned"):
        read_shard_rows(ledger, job, shard.model_copy(update=change), None)


@pytest.mark.parametrize("number", [0, 3, 6, 10**30])
def test_a_message_for_a_retry_shard_that_was_not_planned_is_refused(
    ledger: Ledger, job: Job, number: int
) -> None:
    shard = ledger.planned(job.job_id).shard(4)
    assert shard.retry == 0

    with pytest.raises(LedgerError, match=f"shard {number} is not in retry 0"):
        read_shard_rows(ledger, job, shard.model_copy(update={"number": number}), None)


def test_envelopes_of_messages() -> None:
    whole = json.dumps(
        {"body": base64.b64encode(b'[[{"at": 3.5}], {}, {}]').decode(), "headers": {}}
    ).encode()
    assert message_time(whole) == 3.5
    rng = random.Random(5)
    for _ in range(MUTATIONS):
        assert isinstance(message_time(mutate(whole, rng)), float)


def test_artifacts(tmp_path: Path) -> None:
    save_artifact(make(), str(tmp_path))
    manifest, tensors = tmp_path / "manifest.json", tmp_path / "savs.safetensors"
    whole, bytes_of = manifest.read_bytes(), tensors.read_bytes()

    def use_manifest(data: bytes) -> None:
        manifest.write_bytes(data)
        load_artifact(str(tmp_path))

    damaged("artifact", whole, use_manifest, MUTATIONS // 2)
    manifest.write_bytes(whole)
    length = int.from_bytes(bytes_of[:8], "little")

    def use_header(data: bytes) -> None:
        tensors.write_bytes(len(data).to_bytes(8, "little") + data + bytes_of[8 + length :])
        load_artifact(str(tmp_path))

    damaged("tensors", bytes_of[8 : 8 + length], use_header, MUTATIONS // 2)

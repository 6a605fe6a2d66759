"""A workspace that version 0.1.0 left, with jobs that were interrupted, is gone on with by this one."""

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from savs.storage import s3_client
from tests.jobs.conftest import savs_submit
from tests.keep_workspace import BUCKET, INTERRUPTED, WORKSPACE

KEPT = Path(__file__).parents[1] / "data" / "workspace-0.1.0"
MARKS = ("active/", "cancelled.json")  # which resuming takes away
# The one text in a kept summary that says the same in other words now.
REWORDED = (b"says why rows failed; mend that, then", b"shows why rows failed; fix it, then")
# What this version adds to what 0.1.0 wrote: fields of summaries and of artifacts' manifests, and an object.
SUMMARY = {"readout", "suspects", "ece", "reliability", "risk_coverage", "aurc"}
MANIFEST = {"choice", "suspects", "stored_vectors"}
ARTIFACT = re.compile(rb', "artifact": "[0-9a-f]{12}"')  # in rows
EXAMPLES = "/examples.safetensors"

pytestmark = pytest.mark.usefixtures("kept")


@pytest.fixture
def kept(bucket: str, s3_server: str) -> Iterator[None]:
    """The kept bucket on an S3 server, as it was."""
    client = s3_client(s3_server)
    client.create_bucket(Bucket=BUCKET)
    for key, data in kept_objects().items():
        client.put_object(Bucket=BUCKET, Key=key, Body=data)
    yield
    for key in stored(client):
        client.delete_object(Bucket=BUCKET, Key=key)
    client.delete_bucket(Bucket=BUCKET)


def kept_objects() -> dict[str, bytes]:
    folder = KEPT / "bucket"
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def stored(client: Any) -> dict[str, bytes]:
    pages = client.get_paginator("list_objects_v2").paginate(Bucket=BUCKET)
    keys = [entry["Key"] for entry in pages.search("Contents") if entry]
    return {key: client.get_object(Bucket=BUCKET, Key=key)["Body"].read() for key in keys}


def as_before(objects: Mapping[str, bytes]) -> dict[str, bytes]:
    """`objects` without what this version adds to them."""
    return {key: reduced(key, data) for key, data in objects.items() if not key.endswith(EXAMPLES)}


def reduced(key: str, data: bytes) -> bytes:
    """A summary or a manifest without its additions, field after field in its order; others as they are."""
    if key.endswith("/summary.json"):
        return json.dumps(without(json.loads(data), SUMMARY)).encode()
    if key.endswith("/manifest.json"):
        found = without(json.loads(data), MANIFEST)
        assert found["schema_version"] in (1, 2)
        return json.dumps(found | {"schema_version": 1}).encode()
    return data


def without(value: dict[str, Any], added: set[str]) -> dict[str, Any]:
    """A JSON object without these fields, in the objects below it, too."""
    return {
        name: without(one, added) if name == "without_leaks" else one
        for name, one in value.items()
        if name not in added
    }


def said(file: Path) -> bytes:
    """What a command prints now whose output was kept in `file`, such as `status-pets.json`."""
    command, _, name = file.stem.partition("-")
    names = ("strokes-zero-shot", "strokes") if command == "compare" else (name,) if name else ()
    more = ("--json",) if file.suffix == ".json" else ()
    return savs_submit(command, *names, *more, "--workspace", WORKSPACE).stdout_bytes


def resume(name: str) -> None:
    result = savs_submit("resume", name, "--workspace", WORKSPACE)
    assert result.exit_code in (0, 3), result.output


def test_its_jobs_are_read_and_compared_as_they_were() -> None:
    files = sorted((KEPT / "expected" / "before").iterdir())

    assert files
    for file in files:
        assert said(file) == file.read_bytes(), file.name


def test_its_ended_jobs_are_reduced_to_the_same_bytes_again(s3_server: str) -> None:
    client, before = s3_client(s3_server), kept_objects()
    for key in before:
        if key.endswith("/summary.json"):
            client.delete_object(Bucket=BUCKET, Key=key)

    for name in ("strokes", "strokes-zero-shot", "pair"):
        resume(name)

    assert as_before(stored(client)) == as_before(
        {key: data.replace(*REWORDED) for key, data in before.items()}
    )


def test_its_artifacts_are_fitted_to_the_same_bytes_again(s3_server: str) -> None:
    client, before = s3_client(s3_server), kept_objects()
    for key in before:
        if key.startswith("work/artifacts/pair") or ("/pair" in key and key.endswith("/summary.json")):
            client.delete_object(Bucket=BUCKET, Key=key)

    resume("pair")

    now = stored(client)
    assert as_before(now) == as_before(before)
    # and whatever has no field that was added has the same bytes
    changed = {key for key, data in before.items() if now[key] != data}
    assert {key.rpartition("/")[2] for key in changed} <= {"summary.json", "manifest.json"}


@pytest.mark.kill
def test_its_interrupted_jobs_are_resumed_to_the_rows_that_it_would_have_written(s3_server: str) -> None:
    for name in INTERRUPTED:
        resume(name)

    for file in sorted((KEPT / "expected" / "after").iterdir()):
        assert ARTIFACT.sub(b"", said(file)) == file.read_bytes(), file.name  # 0.1.0 did not name it
    now = stored(s3_client(s3_server))
    unmarked = {key: data for key, data in kept_objects().items() if not any(m in key for m in MARKS)}
    assert {key: now.get(key) for key in unmarked} == unmarked
    [fitted] = [
        key for key in now if key.startswith("work/artifacts/again/") and key.endswith("/savs.safetensors")
    ]
    [other] = [
        key for key in now if key.startswith("work/artifacts/strokes/") and key.endswith("/savs.safetensors")
    ]
    assert now[fitted] == now[other]  # of the same examples

"""A file that is exchanged for a link out of a worker's roots after it was checked is not read."""

from pathlib import Path

import numpy as np
import pytest

from jobs.ledger.ledger import Ledger
from jobs.plans.planner import plan_manifest
from jobs.records.job import Job, Source
from jobs.records.plan import Shard
from jobs.shards.allowed_roots import Roots
from jobs.shards.rows import read_shard_rows
from savs.artifact.artifact import load_artifact, save_artifact
from savs.data.media import open_media
from savs.data.samples import Sample
from savs.data.video.sampling import FrameSampling, Video
from savs.errors import ForbiddenAddress, ForbiddenMedia, OutsideLink, UnreadableMedia
from savs.storage import open_store
from tests.jobs.ledgers import classify_job
from tests.savs.data.drawing import write_video
from tests.savs.readout.test_artifact import make

SAMPLING = FrameSampling(frames=2)


@pytest.fixture
def shared(tmp_path: Path) -> Path:
    """An allowed folder beside one that is not."""
    for name in ("shared", "secret"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "rows.jsonl").write_text('{"image": ["a.png", "b.mp4"], "question": "Which?"}\n')
        for file in ("a.png", "b.mp4"):
            (tmp_path / name / file).write_bytes(b"no picture")
    return tmp_path / "shared"


def exchange(file: Path) -> None:
    """Put a link to the secret file of the same name in place of `file`."""
    file.unlink()
    file.symlink_to(file.parents[1] / "secret" / file.name)


def job_on(shared: Path) -> tuple[Job, Shard]:
    rows = shared / "rows.jsonl"
    job = classify_job(source=Source(url=str(rows), etag=open_store(shared).etag(rows.name)))
    spec = job.spec.model_copy(update={"artifact": str(shared / "artifact")})
    return job.model_copy(update={"spec": spec}), plan_manifest(str(rows), 1, labelled=False).shard(0)


def test_media_that_become_links_after_the_check_fail_their_row_alone(shared: Path, workspace: Path) -> None:
    job, shard = job_on(shared)
    [entry] = read_shard_rows(Ledger(str(workspace)), job, shard, Roots.of([str(shared)])).entries
    assert entry.error is None and entry.sample is not None
    for file in ("a.png", "b.mp4"):
        exchange(shared / file)

    for address in entry.sample.media:
        with pytest.raises(ForbiddenMedia, match="a link that leads out of"):
            open_media(address, SAMPLING)


def test_a_video_below_the_roots_is_decoded_as_elsewhere(shared: Path) -> None:
    frames = [np.full((96, 96, 3), shade, np.uint8) for shade in (10, 120, 230)]
    path = write_video(shared / "b.mp4", frames, fps=1)
    confined = Roots.of([str(shared)]).confine(Sample(0, "0", (str(path),), "Which?"))

    video, plain = (open_media(address, SAMPLING) for address in (confined.media[0], str(path)))

    assert isinstance(video, Video) and isinstance(plain, Video)
    assert np.array_equal(video.frames, plain.frames) and len(video.frames) == 2


def test_a_users_own_process_follows_links_to_media_anywhere(shared: Path, workspace: Path) -> None:
    from PIL import Image

    job, shard = job_on(shared)
    Image.new("RGB", (2, 2), "red").save(shared.parent / "secret" / "a.png")
    exchange(shared / "a.png")
    [entry] = read_shard_rows(Ledger(str(workspace)), job, shard, Roots.everywhere()).entries
    assert entry.sample is not None

    assert open_media(entry.sample.media[0], SAMPLING).size == (2, 2)


def test_a_manifest_that_is_a_link_out_of_the_roots_is_not_read_whatever_the_check_said(
    shared: Path, workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job, shard = job_on(shared)
    roots = Roots.of([str(shared)])
    exchange(shared / "rows.jsonl")

    with pytest.raises(ForbiddenAddress):
        read_shard_rows(Ledger(str(workspace)), job, shard, roots)
    monkeypatch.setattr(Roots, "check_address", lambda self, address: None)  # it was checked a moment ago
    with pytest.raises(OutsideLink):
        read_shard_rows(Ledger(str(workspace)), job, shard, roots)
    with pytest.raises(OutsideLink):
        plan_manifest(job.spec.source.url, 1, labelled=False, inside=roots.folders)


@pytest.mark.parametrize("linked", ["the folder", "manifest.json", "savs.safetensors"])
def test_an_artifact_that_becomes_a_link_out_of_the_roots_is_not_read(shared: Path, linked: str) -> None:
    elsewhere = shared.parent / "secret" / "artifact"
    save_artifact(make(), str(elsewhere))
    artifact = shared / "artifact"
    if linked == "the folder":
        artifact.symlink_to(elsewhere)
    else:
        save_artifact(make(), str(artifact))
        (artifact / linked).unlink()
        (artifact / linked).symlink_to(elsewhere / linked)

    with pytest.raises(OutsideLink):
        load_artifact(str(artifact), Roots.of([str(shared)]).folders)


def test_a_medium_whose_address_cannot_be_resolved_is_no_error_of_the_shard(
    shared: Path, workspace: Path
) -> None:
    (shared / "loop.png").symlink_to("loop.png")
    (shared / "rows.jsonl").write_text('{"image": "loop.png", "question": "Which?"}\n')
    job, shard = job_on(shared)
    roots = Roots.of([str(shared)])

    [entry] = read_shard_rows(Ledger(str(workspace)), job, shard, roots).entries

    assert entry.sample is not None
    with pytest.raises(UnreadableMedia, match="cannot be read"):
        open_media(entry.sample.media[0], SAMPLING)
    assert not roots.allow(f"{shared}/a\0.png")

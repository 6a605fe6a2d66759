"""A workspace that was moved is gone on with: its jobs and artifacts are found relative to it."""

import json
from pathlib import Path

import pytest

from jobs.ledger.artifacts import artifact_of
from jobs.ledger.ledger import Ledger
from jobs.records.job import ClassifySpec
from savs.artifact.artifact import save_artifact
from tests.jobs.conftest import Corpus, finished, run_arguments, savs_submit
from tests.jobs.ledgers import classify_job
from tests.savs.readout.test_artifact import make


def test_a_moved_workspace_is_shown_retried_resumed_and_used(
    own_corpus: Corpus, qwen2_vl: Path, tmp_path: Path
) -> None:
    # given a run that lost a picture, whose workspace is then moved
    here, there = tmp_path / "one" / "results", tmp_path / "two" / "results"
    picture = own_corpus.pictures[3]
    data = picture.read_bytes()
    picture.unlink()
    assert savs_submit(*run_arguments(own_corpus, qwen2_vl, here)).exit_code == 3
    before = finished(here)
    there.parent.mkdir()
    here.rename(there)
    picture.write_bytes(data)
    given = ("--workspace", there)

    # when the row is retried, a commit is lost and redone, and the artifact is used again
    retried = savs_submit("retry", "shapes", *given)
    assert retried.exit_code == 0, retried.output
    job = there / "jobs" / before.classify.job_id
    for file in ("summary.json", "commits/0000001.json"):
        (job / file).unlink()
    resumed = savs_submit("resume", "shapes", *given)
    assert resumed.exit_code == 0, resumed.output
    again = savs_submit(
        "classify", "--data", own_corpus.data, "--artifact", "shapes", "--name", "new", *given
    )
    assert again.exit_code == 0, again.output

    # then it is all as if it had never moved, under the same ids
    after = json.loads((job / "summary.json").read_bytes())
    assert after["failed"] == 0 and after["artifact"].startswith(str(there))
    assert len(savs_submit("results", "shapes", *given).stdout.splitlines()) == 40
    shown = json.loads(savs_submit("show", "shapes", "--json", *given).stdout)
    assert shown["url"].startswith(str(there)) and len(shown["uses"]) == 2
    states = json.loads(savs_submit("status", "shapes", "--json", *given).stdout)
    assert {one["job_id"] for one in states} == {before.extract.job_id, before.classify.job_id}
    assert not here.exists()


def test_data_that_were_moved_are_named_with_what_to_do(
    own_corpus: Corpus, qwen2_vl: Path, workspace: Path
) -> None:
    own_corpus.pictures[3].unlink()
    assert savs_submit(*run_arguments(own_corpus, qwen2_vl, workspace)).exit_code == 3
    own_corpus.data.rename(own_corpus.folder / "moved.jsonl")

    said = savs_submit("retry", "shapes", "--workspace", workspace)

    assert said.exit_code == 1
    assert f"{own_corpus.data} does not exist; put the manifest back there, or submit it again" in said.stderr


@pytest.mark.parametrize(
    ("address", "version", "found"),
    [
        ("/old/results/artifacts/pets/one", "one", "here"),
        ("/old/results/artifacts/pets/two", "one", "there"),  # this workspace has none of that version
        ("s3://old/results/artifacts/pets/one", "one", "here"),
        ("/old/pets/one", "one", "there"),
        ("/old/results/artifacts/../one", "one", "there"),
        ("/a", "one", "there"),
    ],
)
def test_an_artifact_is_looked_for_in_the_present_workspace_by_name_and_version(
    workspace: Path, address: str, version: str, found: str
) -> None:
    ledger = Ledger(str(workspace))
    save_artifact(make(), ledger.artifact_url("pets", version))
    spec = classify_job().spec
    assert isinstance(spec, ClassifySpec)

    place = artifact_of(ledger, spec.model_copy(update={"artifact": address}))

    assert place == (ledger.artifact_url("pets", version) if found == "here" else address)


def test_the_artifact_of_the_job_before_is_in_the_present_workspace_also_before_it_is_made(
    workspace: Path,
) -> None:
    ledger, before = Ledger(str(workspace)), "pets-extract-00000000"
    spec = classify_job(after=before).spec
    assert isinstance(spec, ClassifySpec)

    place = artifact_of(ledger, spec.model_copy(update={"artifact": f"/old/artifacts/pets/{before}"}))

    assert place == ledger.artifact_url("pets", before)

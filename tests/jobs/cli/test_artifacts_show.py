"""`savs-submit artifacts` and `show`: what there is, of which model, how good, and used by which jobs."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

import savs
from tests.jobs.conftest import CLASSES, EXAMPLES, HEADS, QUESTION, ROWS, Corpus, Finished, savs_submit


def listed(workspace: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(
        savs_submit("artifacts", "--workspace", workspace, "--json").stdout
    )
    return found


def test_an_artifact_is_listed_with_its_model_its_accuracy_and_its_jobs(
    calm: Finished, qwen2_vl: Path
) -> None:
    [found] = listed(calm.workspace)

    assert (found["name"], found["version"], found["model"]) == ("shapes", calm.extract.job_id, str(qwen2_vl))
    assert found["classes"] == dict.fromkeys(CLASSES, EXAMPLES // 3) and found["question"] == QUESTION
    [use] = found["uses"]
    accuracy = calm.summary("classify")["accuracy"]
    assert (use["job_id"], use["status"], use["rows"]) == (calm.classify.job_id, "done", ROWS)
    assert use["accuracy"] == accuracy
    said = savs_submit("artifacts", "--workspace", calm.workspace).stdout
    line = said.splitlines()[1]
    assert f"shapes/{calm.extract.job_id}" in line and f"{accuracy:.3f} (" in line
    assert found["created"][:10] in line


@pytest.mark.parametrize("how", ["name", "version", "folder"])
def test_one_is_shown_with_its_heads_as_they_were_fitted(calm: Finished, how: str) -> None:
    folder = calm.workspace / "artifacts" / "shapes" / calm.extract.job_id
    given = {"name": "shapes", "version": f"shapes/{calm.extract.job_id}", "folder": folder}[how]

    shown = json.loads(savs_submit("show", given, "--workspace", calm.workspace, "--json").stdout)

    readout = savs.load_artifact(str(folder)).readout
    places = list(readout.layout.slices())
    assert [[head["layer"], head["head"]] for head in shown["heads"]] == readout.heads.tolist()
    for head in shown["heads"]:
        assert head["score"] == readout.scores[places.index((head["layer"], head["head"]))]
    said = savs_submit("show", given, "--workspace", calm.workspace).stdout
    assert f"heads: {HEADS}, best first" in said and f"{calm.classify.job_id}: done, {ROWS} rows" in said


def test_the_newest_version_is_taken_and_named(calm: Finished, corpus: Corpus, tmp_path: Path) -> None:
    # given two versions of a name, of which the alphabet would put the newer one first
    workspace = tmp_path / "results"
    shutil.copytree(calm.workspace, workspace)
    versions = workspace / "artifacts" / "shapes"
    newer = versions / "0-newer"
    shutil.copytree(versions / calm.extract.job_id, newer)
    manifest = json.loads((newer / "manifest.json").read_bytes())
    manifest |= {"version": "0-newer", "created": "2099-01-01T00:00:00Z"}
    (newer / "manifest.json").write_text(json.dumps(manifest))

    assert [one["version"] for one in listed(workspace)] == [calm.extract.job_id, "0-newer"]
    assert "shapes/0-newer" in savs_submit("show", "shapes", "--workspace", workspace).stdout
    said = savs_submit(
        *("classify", "--data", corpus.data, "--artifact", "shapes", "--name", "labels"),
        *("--workspace", workspace),
    )
    assert said.exit_code == 0 and f"artifact shapes: {newer}" in said.stderr


@pytest.mark.parametrize("data", [b"", b"[]", b"{}", b"\xff", b"[" * 10**5, b'{"name": 3, "training": 4}'])
def test_a_spoilt_artifact_is_named_and_the_others_are_listed(
    calm: Finished, tmp_path: Path, data: bytes
) -> None:
    workspace = tmp_path / "results"
    shutil.copytree(calm.workspace, workspace)
    (workspace / "artifacts" / "broken" / "1").mkdir(parents=True)
    (workspace / "artifacts" / "broken" / "1" / "manifest.json").write_bytes(data)

    said = savs_submit("artifacts", "--workspace", workspace)

    assert said.exit_code == 1 and "shapes/" in said.stdout
    assert "broken/1/manifest.json is not an artifact manifest" in said.stderr
    shown = savs_submit("show", "broken", "--workspace", workspace)
    assert shown.exit_code == 2 and "is not an artifact manifest" in shown.stderr


@pytest.mark.parametrize("data", [None, b"", b"\xff" * 99])
def test_an_artifact_whose_tensors_are_spoilt_is_a_clear_error(
    calm: Finished, tmp_path: Path, data: bytes | None
) -> None:
    workspace = tmp_path / "results"
    shutil.copytree(calm.workspace, workspace)
    [tensors] = workspace.glob("artifacts/shapes/*/savs.safetensors")
    tensors.unlink() if data is None else tensors.write_bytes(data)

    shown = savs_submit("show", "shapes", "--workspace", workspace)

    assert shown.exit_code in (1, 2) and str(tensors.parent) in shown.stderr


def test_a_copied_workspace_shows_the_same_uses(calm: Finished, tmp_path: Path) -> None:
    copied = tmp_path / "elsewhere"
    shutil.copytree(calm.workspace, copied)
    shown = savs_submit("show", "shapes", "--workspace", copied).stdout
    assert "jobs: 1" in shown and calm.classify.job_id in shown
    assert [len(one["uses"]) for one in listed(copied)] == [1]


def test_a_workspace_whose_only_artifact_is_unreadable_is_not_said_to_have_none(workspace: Path) -> None:
    folder = workspace / "artifacts" / "pets" / "1"
    folder.mkdir(parents=True)
    (folder / "manifest.json").write_text("{")
    said = savs_submit("artifacts", "--workspace", workspace)
    assert said.exit_code == 1 and said.stdout == "" and "pets/1/manifest.json" in said.stderr


def test_a_workspace_without_artifacts_has_none(workspace: Path) -> None:
    assert savs_submit("artifacts", "--workspace", workspace).stdout.strip() == "no artifacts"
    assert listed(workspace) == []
    missing = savs_submit("show", "pets", "--workspace", workspace)
    assert missing.exit_code == 2 and "see: savs-submit artifacts" in missing.stderr

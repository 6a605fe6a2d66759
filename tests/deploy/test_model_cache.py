"""The script that fills the volume of checkpoints, run for real."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.deploy.manifests import ROOT, containers, manifest, pods


@pytest.mark.parametrize(("model", "is_found"), [("demo", True), ("nobody/nothing", False)])
def test_a_pod_starts_only_with_its_models_checkpoint(tmp_path: Path, model: str, is_found: bool) -> None:
    [pod] = pods(manifest("models/qwen2.5-vl/worker.yaml"))
    [shell, flag, script] = containers(pod)[0]["command"]
    cache = tmp_path / "huggingface"
    cache.mkdir()
    environment = os.environ | {
        "MODEL": model,
        "HF_HOME": str(cache),
        "HF_HUB_OFFLINE": "1",
        "PYTHONPATH": str(ROOT),
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
    }

    assert "/cache/huggingface/" in script
    here = script.replace("/cache/huggingface", str(cache))
    done = subprocess.run([shell, flag, here], env=environment, capture_output=True, text=True)

    assert (done.returncode == 0) == is_found, done.stderr
    assert is_found or "could not be downloaded" in done.stderr


def test_the_model_that_is_downloaded_is_the_one_that_is_loaded() -> None:
    [pod] = pods(manifest("models/qwen2.5-vl/worker.yaml"))
    first, worker = containers(pod)

    assert first["env"] == [{"name": "MODEL", "value": worker["args"][-1]}]
    mounts = [
        {mount["mountPath"]: mount.get("readOnly", False) for mount in one["volumeMounts"]}
        for one in (first, worker)
    ]
    assert [one["/cache/huggingface"] for one in mounts] == [False, True]

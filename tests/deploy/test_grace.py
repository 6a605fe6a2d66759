"""Times that must fit each other."""

import pytest

from jobs.plans.planner import SHARD_SECONDS
from jobs.queue.timeouts import Timeouts
from tests.deploy.manifests import (
    DEPLOY,
    MODELS,
    OVERLAYS,
    compose,
    containers,
    manifest,
    of_kind,
    pods,
    rendered,
    seconds,
)
from workers.settings import CHILD_LOAD_TIMEOUT

TO_END = 5  # seconds for a worker to requeue its shard and to end, after its grace time
SPOT_NOTICE = 30  # seconds: the shortest of the large clouds


def worker_pods(objects: list) -> list:
    return [pod for pod in pods(objects) if "savs/worker" in pod["metadata"]["labels"]]


def test_compose_waits_longer_than_workers_take_to_end() -> None:
    for service in compose()["services"].values():
        if "SAVS_GRACE_TIME" in service.get("environment", {}):
            grace = float(service["environment"]["SAVS_GRACE_TIME"])
            assert seconds(service["stop_grace_period"]) >= grace + TO_END


def test_the_bases_wait_longer_than_workers_take_to_end() -> None:
    text = (DEPLOY / "kubernetes/base/kustomization.yaml").read_text()
    assert f"- SAVS_GRACE_TIME={Timeouts().grace:g}\n" in text

    for path in ["base/cpu-worker.yaml", *(f"models/{model}/worker.yaml" for model in MODELS)]:
        [pod] = worker_pods(manifest(path))
        assert pod["spec"]["terminationGracePeriodSeconds"] >= Timeouts().grace + TO_END


@pytest.mark.deploy
@pytest.mark.parametrize("overlay", OVERLAYS)
def test_every_overlay_waits_longer_than_its_workers_take_to_end(overlay: str) -> None:
    objects = rendered(overlay)
    [settings] = [
        one for one in of_kind(objects, "ConfigMap") if one["metadata"]["name"].startswith("savs-worker")
    ]
    grace = float(settings["data"]["SAVS_GRACE_TIME"])

    assert len(worker_pods(objects)) == 2
    for pod in worker_pods(objects):
        assert pod["spec"]["terminationGracePeriodSeconds"] >= grace + TO_END
        if overlay == "spot":
            assert pod["spec"]["terminationGracePeriodSeconds"] <= SPOT_NOTICE


@pytest.mark.parametrize("model", MODELS)
def test_a_pool_shrinks_only_after_a_shard_has_had_time_to_end(model: str) -> None:
    [scaled] = manifest(f"models/{model}/scaled-object.yaml")
    behavior = scaled["spec"]["advanced"]["horizontalPodAutoscalerConfig"]["behavior"]

    assert behavior["scaleDown"]["stabilizationWindowSeconds"] >= 2 * SHARD_SECONDS
    assert scaled["spec"]["minReplicaCount"] == 0
    [trigger] = scaled["spec"]["triggers"]
    # More shards per worker, and the pool would shrink below the shards that are running.
    assert (trigger["metadata"]["listLength"], trigger["metadata"]["activationListLength"]) == ("1", "0")
    assert "fallback" not in scaled["spec"]


def test_a_model_that_loads_slowly_is_not_taken_for_dead() -> None:
    [pod] = pods(manifest("models/qwen2.5-vl/worker.yaml"))
    probe = containers(pod)[-1]["startupProbe"]

    assert probe["periodSeconds"] * probe["failureThreshold"] >= CHILD_LOAD_TIMEOUT

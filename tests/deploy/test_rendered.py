"""Every overlay as `kubectl` renders it, against the schemas of Kubernetes and KEDA, and in itself."""

from typing import Any

import kubernetes_validate
import pytest
from cloudcoil.models.keda.v1alpha1 import ScaledObject, TriggerAuthentication

from tests.deploy.manifests import OVERLAYS, Object, containers, of_kind, pods, rendered, walk

pytestmark = [pytest.mark.deploy, pytest.mark.parametrize("overlay", OVERLAYS)]

KEDA = {"ScaledObject": ScaledObject, "TriggerAuthentication": TriggerAuthentication}
# docs/platforms/kubernetes.md makes them.
SECRETS = {"savs-redis", "savs-worker", "savs-scaler", "savs-s3", "savs-hub"}


def names(objects: list[Object], kind: str) -> set[str]:
    return {one["metadata"]["name"] for one in of_kind(objects, kind)}


def references(objects: list[Object], key: str, name: str = "name") -> set[str]:
    """The values of `name` in all parts that are called `key`."""
    return {
        tree[key][name]
        for tree in walk(objects)
        if isinstance(tree, dict) and isinstance(tree.get(key), dict)
    }


def is_selected(labels: dict[str, str], selector: Object) -> bool:
    """Whether a label selector of Kubernetes selects a pod with these labels."""
    wanted = selector.get("matchLabels", {})
    return wanted.items() <= labels.items() and all(
        (labels.get(one["key"]) in one["values"]) == (one["operator"] == "In")
        for one in selector.get("matchExpressions", [])
    )


def test_every_object_is_valid_in_the_newest_kubernetes(overlay: str) -> None:
    version = kubernetes_validate.latest_version()
    for one in rendered(overlay):
        if one["kind"] not in KEDA:
            kubernetes_validate.validate(one, version, strict=True)


def test_kedas_objects_are_valid_and_have_no_unknown_fields(overlay: str) -> None:
    found = of_kind(rendered(overlay), *KEDA)
    assert {one["kind"] for one in found} == KEDA.keys()

    for one in found:
        model = KEDA[one["kind"]].model_validate(one)
        understood = model.model_dump(mode="json", by_alias=True, exclude_unset=True)
        assert understood["spec"] == one["spec"]


def test_everything_is_in_the_pools_namespace(overlay: str) -> None:
    for one in rendered(overlay):
        assert one["metadata"].get("namespace", "savs") == "savs"
        assert one["kind"] == "Namespace" or "namespace" in one["metadata"]


def test_every_name_that_an_object_refers_to_is_there(overlay: str) -> None:
    objects = rendered(overlay)

    assert references(objects, "configMapRef") | references(objects, "configMap") == names(
        objects, "ConfigMap"
    )
    assert references(objects, "persistentVolumeClaim", "claimName") == names(
        objects, "PersistentVolumeClaim"
    )
    assert references(objects, "authenticationRef") == names(objects, "TriggerAuthentication")
    assert references(objects, "scaleTargetRef") <= names(objects, "Deployment")
    accounts = {pod["spec"].get("serviceAccountName") for pod in pods(objects)} - {None}
    assert accounts == names(objects, "ServiceAccount")
    secrets = references(objects, "secretRef") | references(objects, "secret", "secretName")
    [authentication] = of_kind(objects, "TriggerAuthentication")
    secrets |= {one["name"] for one in authentication["spec"]["secretTargetRef"]}
    assert secrets <= SECRETS
    for one in of_kind(objects, "Deployment", "StatefulSet", "PodDisruptionBudget"):
        selector = one["spec"]["selector"]
        assert any(is_selected(pod["metadata"]["labels"], selector) for pod in pods(objects)), one["metadata"]
    for one in of_kind(objects, "Service"):
        [pod] = [
            p for p in pods(objects) if one["spec"]["selector"].items() <= p["metadata"]["labels"].items()
        ]
        ports = {port["name"] for container in containers(pod) for port in container["ports"]}
        assert {port["targetPort"] for port in one["spec"]["ports"]} <= ports
    for pod in pods(objects):
        volumes = {volume["name"] for volume in pod["spec"].get("volumes", [])}
        volumes |= {"data"} if pod["metadata"]["labels"]["app.kubernetes.io/component"] == "redis" else set()
        mounted = {mount["name"] for one in containers(pod) for mount in one["volumeMounts"]}
        assert mounted == volumes


def test_every_pod_is_restricted_and_limited(overlay: str) -> None:
    for pod in pods(rendered(overlay)):
        about = pod["spec"]["securityContext"]
        assert about["runAsNonRoot"] is True and about["runAsUser"] > 0
        assert about["seccompProfile"] == {"type": "RuntimeDefault"}
        assert pod["spec"]["automountServiceAccountToken"] is False
        for container in containers(pod):
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }
            for resources in ("requests", "limits"):
                assert {"cpu", "memory"} <= container["resources"][resources].keys()


def test_every_worker_is_watched_by_the_health_command(overlay: str) -> None:
    workers = [pod for pod in pods(rendered(overlay)) if "savs/worker" in pod["metadata"]["labels"]]
    assert len(workers) == 2

    for pod in workers:
        [worker] = pod["spec"]["containers"]
        for probe in ("startupProbe", "livenessProbe"):
            assert worker[probe]["exec"]["command"] == ["savs-worker", "health"]


def policies(objects: list[Object], labels: dict[str, str], way: str) -> list[Any]:
    """The rules of all policies for pods with these labels."""
    return [
        rule
        for policy in of_kind(objects, "NetworkPolicy")
        if is_selected(labels, policy["spec"]["podSelector"])
        for rule in policy["spec"].get(way, [])
    ]


def may_talk(objects: list[Object], source: dict[str, str], target: dict[str, str], port: str | int) -> bool:
    """Whether the policies let one pod of the namespace connect to another's port, named or numbered."""

    def allows(rule: Object, peers: str, labels: dict[str, str]) -> bool:
        ports = {one["port"] for one in rule.get("ports", [])}
        return port in ports and any(
            "podSelector" in peer and is_selected(labels, peer["podSelector"]) for peer in rule[peers]
        )

    return any(allows(rule, "to", target) for rule in policies(objects, source, "egress")) and any(
        allows(rule, "from", source) for rule in policies(objects, target, "ingress")
    )


def test_only_who_needs_redis_reaches_it(overlay: str) -> None:
    objects = rendered(overlay)
    labels = [pod["metadata"]["labels"] for pod in pods(objects)]
    [redis] = [one for one in labels if one["app.kubernetes.io/component"] == "redis"]
    submitter = {
        "app.kubernetes.io/name": "savs",
        "savs/submitter": "true",
        "app.kubernetes.io/component": "me",
    }

    for one in labels:
        assert may_talk(objects, one, redis, 6380) == ("savs/worker" in one), one
        for other in labels:
            assert not may_talk(objects, other, one, 22)
    assert may_talk(objects, submitter, redis, 6380)
    assert not may_talk(objects, {"app": "another"}, redis, 6380)
    [keda] = [
        peer["namespaceSelector"]["matchLabels"]
        for rule in policies(objects, redis, "ingress")
        for peer in rule["from"]
        if "namespaceSelector" in peer
    ]
    assert keda == {"kubernetes.io/metadata.name": "keda"}
    assert policies(objects, redis, "egress") == []


def test_keda_finds_redis_at_the_service(overlay: str) -> None:
    objects = rendered(overlay)
    [service] = [one for one in of_kind(objects, "Service") if one["metadata"]["name"] == "savs-redis"]
    [scaled] = of_kind(objects, "ScaledObject")

    [trigger] = scaled["spec"]["triggers"]
    [port] = service["spec"]["ports"]
    assert trigger["metadata"]["address"] == f"savs-redis.savs.svc:{port['port']}"
    assert trigger["metadata"]["enableTLS"] == "true"

"""The files of `deploy/`, read as data."""

import re
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from tests.deploy.tools import program

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
OVERLAYS = sorted(folder.name for folder in (DEPLOY / "kubernetes" / "overlays").iterdir())
MODELS = sorted(folder.name for folder in (DEPLOY / "kubernetes" / "models").iterdir())

Object = dict[str, Any]


@cache
def compose() -> Object:
    """compose.yaml, with its anchors resolved."""
    return yaml.safe_load((DEPLOY / "compose.yaml").read_text())


def manifest(path: str) -> list[Object]:
    """The objects of a file of kubernetes/."""
    return list(yaml.safe_load_all((DEPLOY / "kubernetes" / path).read_text()))


@cache
def rendered(overlay: str) -> list[Object]:
    """The objects that `kubectl apply -k` would send."""
    folder = DEPLOY / "kubernetes" / "overlays" / overlay
    done = subprocess.run(
        [program("kubectl", "kubernetes-client"), "kustomize", str(folder)], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return list(yaml.safe_load_all(done.stdout))


def of_kind(objects: list[Object], *kinds: str) -> list[Object]:
    return [one for one in objects if one["kind"] in kinds]


def pods(objects: list[Object]) -> list[Object]:
    """The pod templates of all Deployments and StatefulSets."""
    return [one["spec"]["template"] for one in of_kind(objects, "Deployment", "StatefulSet")]


def containers(pod: Object) -> list[Object]:
    return [*pod["spec"].get("initContainers", []), *pod["spec"]["containers"]]


def walk(tree: Any) -> Iterator[Any]:
    """The tree and everything in it."""
    yield tree
    for branch in tree.values() if isinstance(tree, dict) else tree if isinstance(tree, list) else ():
        yield from walk(branch)


def texts() -> Iterator[tuple[Path, str]]:
    """Every file of deploy/ with its text."""
    for path in sorted(DEPLOY.rglob("*")):
        if path.is_file() and "secrets" not in path.relative_to(DEPLOY).parts[:1]:
            yield path, path.read_text()


def seconds(text: str) -> int:
    """A duration as compose writes it: 90s, 15m."""
    [(number, unit)] = re.findall(r"^(\d+)([sm])$", text)
    return int(number) * {"s": 1, "m": 60}[unit]

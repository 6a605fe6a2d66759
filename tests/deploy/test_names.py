"""What `deploy/` names exists: variables, options, commands, files, versions."""

import re
import tomllib
from pathlib import Path

import click
import pytest

from tests.deploy.known import PROGRAMS, variables
from tests.deploy.manifests import DEPLOY, MODELS, ROOT, compose, containers, manifest, pods, texts, walk
from workers.cli import main as worker_command


def command_lines() -> list[tuple[Path, list[str]]]:
    """What containers start: the words after `savs-worker` or `savs-submit`, with the program first."""
    lines = []
    for name, service in compose()["services"].items():
        if service.get("image", "").startswith("savs-worker") and "entrypoint" not in service:
            lines.append((DEPLOY / "compose.yaml", ["savs-worker", *service["command"]], name))
    for path in sorted((DEPLOY / "kubernetes").rglob("*.yaml")):
        for pod in pods([one for one in manifest(str(path.relative_to(DEPLOY / "kubernetes"))) if one]):
            for container in containers(pod) if "containers" in pod["spec"] else ():
                if container["image"] == "savs-worker" and "command" not in container:
                    lines.append((path, ["savs-worker", *container["args"]], container["name"]))
                for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
                    command = container.get(probe, {}).get("exec", {}).get("command", [])
                    if command[:1] == ["savs-worker"]:
                        lines.append((path, command, probe))
    return [(path, words) for path, words, _ in lines]


def test_every_variable_of_savs_is_one_that_it_reads() -> None:
    made_here = {"SAVS_MODEL"}  # compose.yaml asks the person who starts it, as the Procfile does
    named = {name: path for path, text in texts() for name in re.findall(r"\bSAVS_[A-Z0-9_]+", text)}

    assert {name: path for name, path in named.items() if name not in variables() | made_here} == {}
    assert {"SAVS_WORKSPACE", "SAVS_ALLOWED_ROOTS", "SAVS_BROKER_URL", "SAVS_GRACE_TIME"} <= named.keys()


def test_every_command_that_a_container_starts_exists_with_its_options() -> None:
    lines = command_lines()
    assert len(lines) >= 10

    for path, [program, name, *words] in lines:
        command = PROGRAMS[program].commands.get(name)
        assert command is not None, f"{path}: {program} {name}"
        known = {text for option in command.params for text in option.opts}
        assert {word for word in words if word.startswith("-")} <= known, f"{path}: {program} {name} {words}"


def test_containers_start_commands_that_click_understands() -> None:
    for path, [program, name, *words] in command_lines():
        if (command := PROGRAMS[program].commands.get(name)) is not None:
            plain = [re.sub(r"\$\{\w+:-(.*)\}", r"\1", word) for word in words]
            try:
                command.make_context(program, plain)
            except click.UsageError as error:
                pytest.fail(f"{path}: {program} {name} {plain}: {error.message}")


def test_the_health_check_of_the_image_is_a_command() -> None:
    dockerfile = (DEPLOY / "docker" / "Dockerfile").read_text()

    [command] = re.findall(r'HEALTHCHECK .*CMD \["savs-worker", "(\w+)"\]', dockerfile)
    assert command in worker_command.commands


def test_modules_that_containers_run_exist() -> None:
    named = {
        module
        for _, text in texts()
        for module in re.findall(r"-m[, ]+((?:savs|jobs|workers)(?:\.\w+)+)|from ((?:savs|jobs)[.\w]+)", text)
        for module in module
        if module
    }
    assert named == {"savs.demo.corpus", "savs.model.checkpoint", "jobs.records.message"}
    for module in named:
        assert (ROOT / module.replace(".", "/")).with_suffix(".py").is_file()


def test_every_file_that_compose_mounts_or_builds_from_exists_or_is_a_secret(tmp_path: Path) -> None:
    made = {"users.acl", "ca.crt", "redis.crt", "redis.key", "submitter.env", "worker.env", "s3.env"}
    made |= {"s3-store.env"}
    made |= {"grafana-password"}  # `test_secrets.py` compares these with what make-secrets.sh makes
    services = compose()["services"].values()
    files = {secret["file"] for secret in compose()["secrets"].values()}
    files |= {name for service in services for name in service.get("env_file", [])}
    mounts = {
        volume.partition(":")[0].removeprefix("./")
        for service in services
        for volume in service.get("volumes", [])
        if volume.startswith("./")
    }

    assert files == {f"secrets/{name}" for name in made}
    assert [name for name in mounts if not (DEPLOY / name).exists()] == []
    for service in services:
        if build := service.get("build"):
            assert (DEPLOY / build["context"] / build["dockerfile"]).is_file()
            assert f" AS {build['target']}\n" in (DEPLOY / "docker" / "Dockerfile").read_text()


def test_every_file_that_the_image_is_made_of_exists_and_is_sent_to_the_builder() -> None:
    dockerfile = (DEPLOY / "docker" / "Dockerfile").read_text()
    sent = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    copied = {
        name
        for line in re.findall(r"^COPY (?!--from)(.+)$", dockerfile, re.MULTILINE)
        for name in line.split()[:-1]
    }

    assert copied == sent
    assert [name for name in copied if not (ROOT / name).exists()] == []


def test_versions_are_those_of_the_project() -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    named = {
        (path.name, found)
        for path, text in texts()
        for found in re.findall(r"(?:savs-(?:worker|submitter):|VERSION=|newTag: )([\d.]+\d)", text)
    }

    assert {found for _, found in named} == {version}


def test_every_image_has_a_version() -> None:
    images = {service["image"] for service in compose()["services"].values()}
    for path in (DEPLOY / "kubernetes").rglob("*.yaml"):
        for tree in manifest(str(path.relative_to(DEPLOY / "kubernetes"))):
            images |= {
                one["image"]
                for one in walk(tree)
                if isinstance(one, dict) and isinstance(one.get("image"), str)
            }

    # `savs-worker` alone has the tag that its kustomization gives it.
    assert [image for image in images - {"savs-worker"} if not re.search(r":v?\d+\.\d+", image)] == []


def test_compose_and_kubernetes_run_the_same_redis_and_s3_store() -> None:
    for service, path in (("redis", "redis/redis.yaml"), ("s3", "overlays/demo/s3.yaml")):
        [pod] = pods(manifest(path))
        assert containers(pod)[0]["image"] == compose()["services"][service]["image"]


@pytest.mark.parametrize("model", MODELS)
def test_a_models_folder_names_only_this_model(model: str) -> None:
    [worker] = manifest(f"models/{model}/worker.yaml")
    [scaled] = manifest(f"models/{model}/scaled-object.yaml")
    [budget] = manifest(f"models/{model}/disruption-budget.yaml")
    name = f"savs-gpu-{model}"

    assert {worker["metadata"]["name"], scaled["metadata"]["name"], budget["metadata"]["name"]} == {name}
    assert scaled["spec"]["scaleTargetRef"] == {"name": name}
    labels = worker["spec"]["template"]["metadata"]["labels"]
    for selector in (worker["spec"]["selector"], budget["spec"]["selector"]):
        assert selector["matchLabels"].items() <= labels.items()
        assert selector["matchLabels"]["savs/model"] == model

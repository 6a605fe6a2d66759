"""What deploy/systemd, deploy/slurm and deploy/skypilot name exists in the code, and their times fit."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import click
import pytest
import yaml
from redis import Redis
from redis.exceptions import RedisError

from jobs.queue.timeouts import Timeouts
from savs.model.checkpoint import ALIASES
from tests.deploy.known import PROGRAMS, variables
from tests.deploy.tools import program
from tests.pool.servers import RedisServer, free_port

DEPLOY = Path(__file__).parents[2] / "deploy"
UNITS = sorted((DEPLOY / "systemd").glob("*.service"))
FILES = [path for name in ("systemd", "slurm", "skypilot") for path in sorted((DEPLOY / name).iterdir())]
SKYPILOT = yaml.safe_load((DEPLOY / "skypilot" / "savs.yaml").read_text())
EXAMPLE = (DEPLOY / "systemd" / "worker.env.example").read_text()
TO_END = 5  # seconds for a worker to requeue its shard and to end, after its grace time
KILL_WAIT = 30  # seconds: Slurm's default between SIGTERM and SIGKILL
SPOT_NOTICE = 30  # seconds: the shortest of the large clouds
ASKED = {"SAVS_MODEL"}  # read by the files themselves, as by the Procfile


def settings_of(path: Path) -> dict[str, list[str]]:
    """The settings of a unit; one that is there twice has two values."""
    found: dict[str, list[str]] = {}
    for line in path.read_text().replace("\\\n", " ").splitlines():
        name, separator, value = line.partition("=")
        if separator and not line.startswith("#"):
            found.setdefault(name, []).append(value)
    return found


def command_lines() -> Iterator[tuple[Path, list[str]]]:
    """Every call of a command of savs, with variables replaced by what the files set them to."""
    values = dict(re.findall(r"^#?(\w+)=(.*)$", EXAMPLE, re.MULTILINE))
    values |= dict(re.findall(r': "\$\{(\w+):=(.*)\}"', (DEPLOY / "slurm" / "environment.sh").read_text()))
    values |= {name: str(value) for name, value in SKYPILOT["envs"].items()}
    for path in FILES:
        text = path.read_text().replace("\\\n", " ").replace('"$@"', "run --name a --model demo")
        for line in re.findall(r"^(?!#).*?(savs-(?:worker|submit) .*)$", text, re.MULTILINE):
            plain = re.sub(r"\$(\w+)", lambda found: values[found[1]], line.replace("%I", "demo"))
            yield path, shlex.split(plain.rstrip(" &"))


def test_every_variable_of_savs_is_one_that_it_reads() -> None:
    named = {name: path for path in FILES for name in re.findall(r"\bSAVS_[A-Z0-9_]+", path.read_text())}

    assert {name: path for name, path in named.items() if name not in variables() | ASKED} == {}
    assert {"SAVS_BROKER_URL", "SAVS_GRACE_TIME", "SAVS_RUNTIME_DIR"} <= named.keys()


def test_every_command_that_is_called_exists_with_its_options() -> None:
    lines = list(command_lines())
    assert {path.parent.name for path, _ in lines} == {"systemd", "slurm", "skypilot"}
    assert len(lines) >= 6

    for path, [name, *words] in lines:
        try:
            command = PROGRAMS[name].commands[words[0]]
            command.make_context(name, words[1:])
        except (KeyError, click.UsageError) as error:
            pytest.fail(f"{path}: {name} {words}: {error}")


def test_the_model_that_is_the_default_is_one() -> None:
    script = (DEPLOY / "slurm" / "environment.sh").read_text()

    assert SKYPILOT["envs"]["SAVS_MODEL"] in ALIASES
    assert f'"${{SAVS_MODEL:={SKYPILOT["envs"]["SAVS_MODEL"]}}}"' in script


def test_files_name_each_other_as_they_are_called() -> None:
    names = {path.name for path in FILES} | {path.name for path in (DEPLOY / "redis").iterdir()}
    for path in FILES:
        text = path.read_text()
        named = set(re.findall(r"[\w-]+\.(?:sbatch|service)\b|environment\.sh|deploy/[\w/.-]+\w", text))
        named -= {"network-online.target"}
        missing = [one for one in named if one.rpartition("/")[2] not in names]
        assert missing == [], path
        assert [
            one for one in named if one.startswith("deploy/") and not (DEPLOY.parent / one).exists()
        ] == []


def test_systemd_waits_longer_than_workers_take_to_end() -> None:
    [grace] = re.findall(r"^SAVS_GRACE_TIME=(\d+)$", EXAMPLE, re.MULTILINE)
    assert float(grace) == Timeouts().grace

    workers = [settings_of(path) for path in UNITS if "worker" in path.name]
    assert len(workers) == 2
    for unit in workers:
        assert float(unit["TimeoutStopSec"][0]) >= float(grace) + TO_END
        assert unit["KillSignal"] == ["SIGTERM"] and unit["KillMode"] == ["mixed"]
        assert unit["Restart"] == ["on-failure"] and unit["RestartPreventExitStatus"] == ["2"]


def test_slurm_waits_longer_than_workers_take_to_end() -> None:
    [grace] = re.findall(r'"\$\{SAVS_GRACE_TIME:=(\d+)\}"', (DEPLOY / "slurm" / "environment.sh").read_text())

    for name in ("workers", "pool"):
        text = (DEPLOY / "slurm" / f"{name}.sbatch").read_text()
        [notice] = re.findall(r"^#SBATCH --signal=B:TERM@(\d+)$", text, re.MULTILINE)
        assert float(grace) + TO_END <= min(KILL_WAIT, float(notice))
        assert "#SBATCH --requeue\n" in text and "#SBATCH --open-mode=append\n" in text


def test_a_spot_machine_lives_longer_than_workers_take_to_end() -> None:
    assert float(SKYPILOT["envs"]["SAVS_GRACE_TIME"]) + TO_END <= SPOT_NOTICE
    assert SKYPILOT["resources"]["use_spot"] and SKYPILOT["resources"]["autostop"]["down"]
    assert "SAVS_BROKER_URL" in SKYPILOT["secrets"] and "SAVS_BROKER_URL" not in SKYPILOT["envs"]


@pytest.mark.parametrize("path", UNITS, ids=lambda path: path.name)
def test_units_are_hardened(path: Path) -> None:
    unit = settings_of(path)

    for name in (
        "NoNewPrivileges",
        "PrivateTmp",
        "ProtectHome",
        "ProtectKernelModules",
        "RestrictNamespaces",
    ):
        assert unit[name] == ["yes"], name
    assert unit["ProtectSystem"] == ["strict"] and unit["CapabilityBoundingSet"] == [""]
    assert unit.get("DynamicUser") == ["yes"] or unit["User"] == ["savs"]
    if "gpu" in path.name:  # either would hide the GPUs: ProtectClock closes all devices but the clock
        assert not {"PrivateDevices", "ProtectClock", "DevicePolicy", "MemoryDenyWriteExecute"} & unit.keys()


def test_the_unit_of_redis_starts_one_with_its_users(tmp_path: Path) -> None:
    [command] = settings_of(DEPLOY / "systemd" / "savs-redis.service")["ExecStart"]
    shutil.copy(DEPLOY / "redis" / "users.acl", tmp_path)
    [_, *words] = shlex.split(
        command.replace("${CREDENTIALS_DIRECTORY}", str(tmp_path))
        .replace("--supervised systemd", "")
        .replace("/var/lib/savs-redis", str(tmp_path))
    )

    @dataclass
    class Theirs(RedisServer):
        def options(self) -> list[str]:
            return [*words, "--port", str(self.port)]

        @property
        def url(self) -> str:
            return f"redis://worker:CHANGE-ME-WORKER@127.0.0.1:{self.port}/0"

    server = Theirs(tmp_path, free_port())
    server.start()
    try:
        with pytest.raises(RedisError):
            Redis(port=server.port).ping()
        assert (tmp_path / "appendonlydir").exists() or (tmp_path / "appendonly.aof").exists()
    finally:
        server.kill()


@pytest.mark.deploy
def test_systemd_understands_the_units_and_finds_them_tight(tmp_path: Path) -> None:
    analyze = program("systemd-analyze", "systemd")
    for path in UNITS:
        text = path.read_text().replace("/opt/savs/bin/savs-worker", sys.executable)
        name = path.name.replace("@", "@demo")
        (tmp_path / name).write_text(text.replace("/usr/bin/redis-server", sys.executable))
    units = sorted(tmp_path.iterdir())

    done = subprocess.run([analyze, "verify", *units], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")

    for path in units:
        asked = [analyze, "security", "--offline=true", "--threshold=25", "--no-pager", path]
        done = subprocess.run(asked, capture_output=True, text=True, env=os.environ | {"LC_ALL": "C.UTF-8"})
        assert done.returncode == 0, done.stdout[-300:]

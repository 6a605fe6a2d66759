"""Builds the Dockerfile without a container registry, and runs what it built.

The base image is a Debian from `debootstrap`, under the name that the Dockerfile asks for. Packages come from
the index that pip is configured with on this machine.
"""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.deploy.manifests import DEPLOY, ROOT
from tests.deploy.tools import program

DOCKERFILE = DEPLOY / "docker" / "Dockerfile"
SUITE = "bookworm"  # that of the Dockerfile's base
KEPT = ROOT / "build" / f"{SUITE}.tar"  # the base, for the next time
INCLUDED = "python3,python3-venv,ca-certificates"  # what the Dockerfile's base has and a bare Debian has not
CA_BUNDLE = "/etc/ssl/certs/ca-certificates.crt"
# What the container's engine leaves a process that has no capabilities, not even root's.
DROP = ("--clear-groups", "--no-new-privs", "--inh-caps=-all", "--bounding-set=-all")


@dataclass(frozen=True)
class Builder:
    """buildah with a storage of its own in `folder`."""

    folder: Path

    def run(self, *words: str | Path, cwd: Path = ROOT) -> str:
        """The output of a command of buildah. Fails with what it printed."""
        place = (
            "--root",
            self.folder / "storage",
            "--runroot",
            self.folder / "run",
            "--storage-driver",
            "vfs",
        )
        command = [program("buildah", "buildah"), *place, *words]
        done = subprocess.run([str(w) for w in command], capture_output=True, text=True, cwd=cwd)
        assert done.returncode == 0, f"buildah {words[0]}\n{done.stdout[-4000:]}\n{done.stderr[-4000:]}"
        return done.stdout

    def make_base(self) -> None:
        """Puts a Debian into the storage, under the name of the Dockerfile's base."""
        [name] = re.findall(r"^ARG BASE=(\S+)$", DOCKERFILE.read_text(), re.MULTILINE)
        if not KEPT.exists():
            bootstrap(self.folder / "debian", KEPT)
        context = self.folder / "base"
        context.mkdir()
        os.link(KEPT, context / KEPT.name)
        (context / "Dockerfile").write_text(f"FROM scratch\nADD {KEPT.name} /\n")
        self.run("bud", "--isolation", "chroot", "--tag", f"localhost/{name}", context)

    def build(self, target: str) -> "Image":
        """Builds a target of the Dockerfile."""
        pip = self.folder / "pip.conf"
        settings, places = pip_settings()
        pip.write_text(settings)
        mounts = [word for place in places for word in ("--volume", f"{place}:{place}:ro")]
        self.run(
            *("bud", "--pull-never", "--isolation", "chroot", "--format", "docker"),
            *("--secret", f"id=pip,src={pip}", *mounts),
            *("--target", target, "--tag", f"savs-{target}", "--file", DOCKERFILE, "."),
        )
        container = self.run("from", "--pull-never", f"localhost/savs-{target}").strip()
        about = json.loads(self.run("inspect", "--type", "image", f"localhost/savs-{target}"))
        return Image(Path(self.run("mount", container).strip()), about["Docker"]["config"])


def bootstrap(folder: Path, tar: Path) -> None:
    """Writes a minimal Debian with Python to `tar`."""
    command = [program("debootstrap", "debootstrap"), "--variant=minbase", f"--include={INCLUDED}", SUITE]
    done = subprocess.run([*command, str(folder)], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    tar.parent.mkdir(exist_ok=True)
    part = tar.with_suffix(".part")
    left_out = [f"--exclude=./{name}/*" for name in ("proc", "sys", "var/cache/apt", "var/lib/apt/lists")]
    subprocess.run(["tar", "-C", str(folder), *left_out, "-cf", str(part), "."], check=True)
    part.rename(tar)
    shutil.rmtree(folder)


def pip_settings() -> tuple[str, list[str]]:
    """This machine's settings of pip as a pip.conf, and the local files and folders that they name."""
    listed = subprocess.run(
        [sys.executable, "-m", "pip", "config", "list"], capture_output=True, text=True, check=True
    ).stdout
    found = dict(re.findall(r"^(?:global|install|:env:)\.([\w-]+)='(.*)'$", listed, re.MULTILINE))
    places = {CA_BUNDLE} if Path(CA_BUNDLE).is_file() else set()
    for value in found.values():
        for word in value.replace("\\n", " ").split():
            path = Path(word.removeprefix("file://").removesuffix("/simple"))
            places |= {str(path)} if path.is_absolute() and path.exists() else set()
    lines = [f"{name} = {value.replace(chr(92) + 'n', ' ')}" for name, value in found.items()]
    return "\n".join(["[global]", *lines, ""]), sorted(places)


@dataclass(frozen=True)
class Image:
    """A built image: its root folder, and its configuration."""

    root: Path
    config: dict[str, Any]

    def execute(
        self,
        command: Sequence[str],
        folders: Mapping[Path, str] | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> subprocess.CompletedProcess[str]:
        """Runs a command in the image, as a container with a read-only root would: as the image's user and
        with its environment, without capabilities, with the image's volumes as the only places to write, and
        `folders` of this machine, each at its place."""
        user, _, group = self.config["User"].partition(":")
        variables = dict(one.split("=", 1) for one in self.config["Env"]) | dict(environment or {})
        # A user who does not exist on this machine; bubblewrap starts as root, and setpriv gives root up.
        words = [program("bwrap", "bubblewrap"), "--ro-bind", str(self.root), "/", "--proc", "/proc"]
        words += [
            "--dev",
            "/dev",
            "--perms",
            "1777",
            "--tmpfs",
            "/dev/shm",
            "--unshare-pid",
            "--unshare-ipc",
            "--die-with-parent",
            "--clearenv",
        ]
        words += [word for cap in ("SETUID", "SETGID", "SETPCAP") for word in ("--cap-add", f"CAP_{cap}")]
        for volume in self.config["Volumes"]:
            words += ["--perms", "1777", "--tmpfs", volume]
        for source, target in (folders or {}).items():
            words += ["--bind", str(source), target]
        for name, value in variables.items():
            words += ["--setenv", name, value]
        words += ["--chdir", self.config["WorkingDir"], "--"]
        words += ["/usr/bin/setpriv", f"--reuid={user}", f"--regid={group}", *DROP, *command]
        return subprocess.run(words, capture_output=True, text=True)

"""What linters say about `deploy/` and the scripts of the repository."""

import subprocess
from pathlib import Path

import pytest

from tests.deploy.manifests import DEPLOY, ROOT
from tests.deploy.tools import wheel_program

pytestmark = pytest.mark.deploy


def passes(*command: str | Path) -> None:
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stdout + done.stderr


def scripts() -> list[str]:
    """The shell scripts that git knows, by their first line."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        capture_output=True,
        text=True,
        check=True,
        cwd=ROOT,
    )
    found = []
    for name in listed.stdout.strip("\0").split("\0"):
        path = ROOT / name
        if path.is_file():
            with path.open("rb") as stream:
                first = stream.readline(100)
            if first.startswith(b"#!") and first.rstrip().endswith((b"sh", b"bash")):
                found.append(name)
    return found


def test_the_compose_file_is_one() -> None:
    passes(
        wheel_program("check-jsonschema"),
        "--builtin-schema",
        "vendor.compose-spec",
        DEPLOY / "compose.yaml",
    )


def test_hadolint_has_nothing_to_say_about_the_dockerfile() -> None:
    passes(wheel_program("hadolint"), DEPLOY / "docker" / "Dockerfile")


def test_shellcheck_has_nothing_to_say_about_any_script() -> None:
    assert {".ci/run", "deploy/make-secrets.sh"} <= set(scripts())
    passes(wheel_program("shellcheck"), *scripts())

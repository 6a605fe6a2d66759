"""The programs that `make deploy-check` calls."""

import shutil
import sys
from pathlib import Path

import pytest


def program(name: str, package: str) -> str:
    """The path of a program of Debian. Fails the test with the name of its package if it is missing."""
    found = shutil.which(name)
    if found is None:
        pytest.fail(f"{name} is missing: apt-get install {package}", pytrace=False)
    return found


def wheel_program(name: str) -> str:
    """The path of a program of the extra `deploy`."""
    path = Path(sys.executable).parent / name
    if not path.exists():
        pytest.fail(f"{name} is missing: make .venv/installed-deploy", pytrace=False)
    return str(path)

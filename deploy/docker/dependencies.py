"""Prints the dependencies of pyproject.toml, and those of the extras that are named, one a line: pip can
install the dependencies of a project only together with the project."""

import sys
import tomllib
from pathlib import Path

project = tomllib.loads(Path("pyproject.toml").read_text(encoding="utf-8"))["project"]
extras = project["optional-dependencies"]
print(*project["dependencies"], *(line for extra in sys.argv[1:] for line in extras[extra]), sep="\n")  # noqa: T201

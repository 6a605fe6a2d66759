"""What the tests of the pages replace, leave out, and prepare. An entry that no page uses fails a test."""

import re
from collections.abc import Callable
from pathlib import Path

from tests.docs import folders

# Text of commands → what is run instead.
SUBSTITUTIONS = {
    r"--model (?:qwen2\.5_vl|qwen2_vl|llava_ov)\b": "--model demo",  # models of 7 billion parameters
    r"\b6399\b": "{port}",  # a free port
}

FIFTYONE = "hundreds of MB that only this needs"
DOCKER = "needs Docker; `make deploy-check` builds an image without it, and checks the compose file"
CLUSTER = "needs a cluster; `make deploy-check` checks what is applied, `make drill` plays one"
GPUS = "needs machines with GPUs; docs/pool.md does the same on one"

# (page, beginning of a command or block) → why it is not run.
NOT_RUN = {
    ("README.md", "make demo"): "`.ci/run` runs it",
    ("README.md", "make test"): "`.ci/run` runs it",
    ("README.md", "pip install"): "needs a package registry",
    ("README.md", "export SAVS_BROKER_URL"): GPUS,
    ("README.md", "savs-worker"): GPUS,
    ("README.md", "savs-submit run --train s3://"): GPUS,
    ("CONTRIBUTING.md", "python -m venv /tmp/fiftyone"): FIFTYONE,
    ("CONTRIBUTING.md", "savs-submit results NAME"): FIFTYONE,
    ("CONTRIBUTING.md", "/tmp/fiftyone/bin/python"): FIFTYONE,
    ("docs/exports.md", "fiftyone."): FIFTYONE,
    ("docs/first-night.md", "python3 -m venv"): "the reader's environment is there, and has savs",
    ("docs/first-night.md", "pip install"): "needs a package registry",
    ("docs/index.md", "make demo"): "`.ci/run` runs it",
    ("docs/index.md", "make test"): "`.ci/run` runs it",
    ("docs/operations.md", "docker build"): DOCKER,
    ("docs/operations.md", "kubectl"): CLUSTER,
    ("docs/platforms/compose.md", ""): DOCKER,
    ("docs/platforms/gpu-box.md", ""): "needs root and systemd; `make deploy-check` checks the units",
    ("docs/platforms/kubernetes.md", ""): CLUSTER,
    ("docs/platforms/laptop.md", "python3 -m venv"): "the reader's environment is there, and has savs",
    ("docs/platforms/laptop.md", ".venv/bin/pip install"): "needs a package registry",
    ("docs/platforms/laptop.md", ".venv/bin/savs-submit open"): "needs a browser",
    ("docs/platforms/skypilot.md", ""): "needs a cloud",
    ("docs/platforms/slurm.md", ""): "needs Slurm; tests/deploy/test_slurm.py runs the two scripts",
    ("docs/python.md", ""): "tests/examples/test_examples.py runs the whole page, in one namespace",
}

# Page → what its reader has. The commands of other pages are run in an empty folder.
PREPARED: dict[str, Callable[[Path, Path], None]] = {
    "README.md": folders.readme,
    "docs/api.md": folders.train_and_corpus,
    "docs/exports.md": folders.exports,
    "docs/formats.md": folders.formats,
    "docs/operations.md": folders.rated,
    "docs/platforms/laptop.md": folders.readme,
    "docs/pool.md": folders.pool,
    "docs/report.md": folders.report,
    "docs/runbook.md": folders.pool,
    "docs/tasks.md": folders.tasks,
    "docs/zero-shot.md": folders.exports,
}


def substituted(text: str, port: int) -> str:
    for pattern, replacement in SUBSTITUTIONS.items():
        text = re.sub(pattern, replacement.replace("{port}", str(port)), text)
    return text


def why_not_run(page: str, text: str) -> str | None:
    """The reason in NOT_RUN; None if the command or block is run."""
    return next(
        (why for (one, begin), why in NOT_RUN.items() if one == page and text.startswith(begin)), None
    )

"""What the pages about running a pool, and the texts of `deploy/`, name exists in the code."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.deploy.known import PROGRAMS, ROOT, keys, metrics, options, variables
from tests.deploy.manifests import DEPLOY, texts
from tests.docs.blocks import FENCE

DOCS = ROOT / "docs"
PAGES = [DOCS / "operations.md", DOCS / "runbook.md", *sorted((DOCS / "platforms").glob("*.md"))]
MARKDOWN = [*PAGES, DEPLOY / "README.md"]
NAMED = [*((path, path.read_text()) for path in PAGES), *texts()]

ASKED = {"SAVS_MODEL"}  # read by compose.yaml and by scripts
# How a page starts savs-submit: itself, in a container, in a job of Slurm.
STARTS = {"savs-worker": "savs-worker", "savs-submit": "savs-submit", "--rm submit": "savs-submit"}
STARTS["pool.sbatch"] = "savs-submit"
CALL = re.compile(rf"(?<![\w/-])(?:\S*/)?({'|'.join(STARTS)}) ([a-z][\w-]*)([^\n|&;#`)]*)")
OPTION = re.compile(r"(?<![\w-])--[a-z][a-z-]+")
SPAN = re.compile(r"(?<!`)`([^`]+)`(?!`)")
MADE = ("deploy/secrets",)  # by make-secrets.sh


def named(pattern: str) -> Iterator[tuple[str, str]]:
    """Each text that matches, and its file."""
    for path, text in NAMED:
        for found in re.findall(pattern, text):
            yield found, str(path.relative_to(ROOT))


def code(path: Path) -> Iterator[str]:
    """The fenced blocks and the texts in backticks of a page, each command in one line."""
    text = path.read_text()
    yield from (found[3].replace("\\\n", " ") for found in FENCE.finditer(text))
    yield from (" ".join(found.split()) for found in SPAN.findall(FENCE.sub("", text)))


def calls(text: str) -> Iterator[tuple[str, str, set[str]]]:
    """The program, the command and the options of each call of savs."""
    for start, command, rest in CALL.findall(text):
        yield STARTS[start], command, set(OPTION.findall(rest))


def test_every_variable_is_one_that_savs_reads() -> None:
    known = variables() | ASKED

    assert [one for one in named(r"\bSAVS_[A-Z0-9_]+") if one[0] not in known] == []


@pytest.mark.parametrize("path", MARKDOWN, ids=lambda path: path.name)
def test_every_command_of_a_page_exists_with_its_options(path: Path) -> None:
    everything = {
        name
        for program, group in PROGRAMS.items()
        for one in group.commands
        for name in options(program, one)
    }
    for text in code(path):
        for program, command, given in calls(text):
            assert command in PROGRAMS[program].commands, text
            assert given <= options(program, command), text
        if text.startswith("--"):
            assert set(OPTION.findall(text)) <= everything, text


def test_every_command_in_the_text_of_other_files_has_its_options() -> None:
    found = 0
    for path, text in texts():
        if path.suffix != ".md":
            for program, command, given in calls(text.replace("\\\n#", " ").replace("\\\n", " ")):
                if command in PROGRAMS[program].commands:  # else prose: "savs-submit without any model"
                    found += 1
                    assert given <= options(program, command), f"{path}: {command} {given}"
                else:
                    assert not given, f"{path}: there is no {program} {command}"
    assert found >= 5


def test_every_metric_is_one_that_workers_tell() -> None:
    assert [one for one in named(r"\bsavs_[a-z_]+") if one[0] not in metrics()] == []


def test_every_key_of_redis_is_one_that_savs_writes() -> None:
    found = list(named(r"(?<![\w/-])savs:([a-z]+)"))

    assert [one for one in found if one[0] not in keys()] == []
    assert "outstanding" in {key for key, _ in found}


def test_every_file_and_every_deployment_exists() -> None:
    deployments = {
        one["metadata"]["name"]
        for path in (DEPLOY / "kubernetes").rglob("*.yaml")
        for one in yaml.safe_load_all(path.read_text())
        if one and one["kind"] == "Deployment"
    }
    for name, page in named(r"(?<![\w/-])deploy(?:ment)?/[\w@*/.-]*[\w*/]"):
        if name.startswith(("deploy/savs-", "deployment/")):  # as kubectl names them
            assert name.partition("/")[2] in deployments, page
        elif not name.startswith(MADE):
            assert list(ROOT.glob(name)), f"{page}: {name}"


@pytest.mark.parametrize("path", MARKDOWN, ids=lambda path: path.name)
def test_every_link_leads_to_a_file(path: Path) -> None:
    for target in re.findall(r"\]\((?!https?:)([^)#]+)", path.read_text()):
        assert (path.parent / target).exists(), target

"""Commands and options in the text of pages exist, and so do the files that pages name."""

import importlib.util
import re
from collections.abc import Iterator

import click
import pytest

import savs
from jobs.cli import main as submit
from savs.errors import ItemError, SavsError
from tests.docs.blocks import FENCE, PAGES, ROOT
from workers.cli import main as worker

SPAN = re.compile(r"(?<!`)`([^`\n]+)`(?!`)")
OPTION = re.compile(r"(?<![\w-])--[a-z][a-z_-]+")
GROUPS = {"savs-submit": submit, "savs-worker": worker}
# Options of `python -m bench.…`. Those of the authors' scripts have a "_", which savs' options never have.
OTHERS = {"--items", "--only", "--side"}
MADE = "deploy/secrets/"  # by deploy/make-secrets.sh
THEIRS = "src"  # the authors' package, in docs/parity.md

pytestmark = pytest.mark.docs


def spans(page: str) -> list[str]:
    """The texts in backticks outside of fenced blocks."""
    return SPAN.findall(FENCE.sub("", (ROOT / page).read_text()))


def options_of(command: click.Command) -> set[str]:
    return {name for one in command.params for name in one.opts + one.secondary_opts} | {"--help", "-h"}


def every_option() -> Iterator[str]:
    for group in GROUPS.values():
        for command in (group, *group.commands.values()):
            yield from options_of(command)


@pytest.mark.parametrize("page", PAGES)
def test_commands_and_options_in_the_text_exist(page: str) -> None:
    known = set(every_option()) | OTHERS
    for text in spans(page):
        words = text.split() or [""]
        found = {option for option in OPTION.findall(text) if "_" not in option}
        if words[0] in GROUPS and len(words) > 1 and words[1].islower() and words[1].isalpha():
            command = GROUPS[words[0]].commands.get(words[1])
            assert command is not None, f"{page}: `{text}`: no such command"
            assert found <= options_of(command), f"{page}: `{text}`: no option {found - options_of(command)}"
        elif words[0].startswith("--"):
            assert found <= known, f"{page}: `{text}`: no option {found - known}"


@pytest.mark.parametrize("page", PAGES)
def test_modules_targets_and_files_in_the_text_exist(page: str) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.M))
    for text in spans(page):
        found = re.match(r"python -m ([\w.]+)", text)
        if found is not None and found[1].partition(".")[0] != THEIRS:
            assert importlib.util.find_spec(found[1]) is not None, f"{page}: `{text}`"
        if (found := re.fullmatch(r"make ([a-z-]+)", text)) is not None:
            assert found[1] in targets, f"{page}: `{text}`"
        if re.fullmatch(r"(?:savs|jobs|workers|tests|bench|docs|deploy)/[\w./-]+", text):
            assert text.startswith(MADE) or (ROOT / text).exists(), f"{page}: `{text}`"


def test_every_public_name_is_in_the_reference() -> None:
    page = (ROOT / "docs" / "api.md").read_text()
    shown = set(re.findall(r"^::: savs\.(\w+)$", page, re.M))
    tree = str(importlib.import_module("savs.errors").__doc__)

    for name in savs.__all__:
        value = getattr(savs, name)
        error = isinstance(value, type) and issubclass(value, SavsError)
        assert name in shown or (error and re.search(rf"\b{name}\b", tree)), name
    assert shown <= {*savs.__all__, "SavsClassifier"}  # which needs scikit-learn


def test_every_kind_of_error_is_in_the_reference() -> None:
    page = (ROOT / "docs" / "errors.md").read_text()

    assert {kind.kind for kind in ItemError.__subclasses__()} == set(
        re.findall(r"^\| `(\w+)` \|", page, re.M)
    )

"""Reports of small jobs with hostile names, and a browser that records what goes wrong."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from savs.demo.corpus import write_corpus
from savs.demo.unseen import TASKS
from tests.jobs.conftest import read_jsonl, savs_submit, write_jsonl
from tests.report.browser import browser

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

# What a label, a file or a question may be called by somebody who wants to run a script.
HOSTILE = {
    "curls": "<script>alert(1)</script>",
    "spiral": '"><img src=x onerror=alert(2)>',
    "zigzag": "{{7*7}} </script><svg onload=alert(3)> & 'zig'",
}
QUESTION = "<b onmouseover=alert(4)>Which?</b> ${alert(5)}"
ITEMS = 72


@dataclass(frozen=True)
class Run:
    """A finished job: its folder, its workspace and the page of its report."""

    folder: Path
    page: Path

    @property
    def workspace(self) -> Path:
        return self.folder / "results"


def report_of(folder: Path, name: str) -> Path:
    [page] = (folder / "results" / "jobs").glob(f"{name}-classify-*/report/index.html")
    return page


def write_hostile(folder: Path) -> None:
    """A task with hostile names; row 3 has no file, row 5 two pictures, rows from 60 on no label."""
    write_corpus(folder, next(task for task in TASKS if task.name == "stroke"), ITEMS)
    for name in ("train", "corpus"):
        rows = read_jsonl(folder / f"{name}.jsonl")
        for row in rows:
            row |= {"label": HOSTILE[row["label"]], "question": QUESTION}
        if name == "corpus":
            rows[3]["image"] = "images/<img src=x onerror=alert(6)>.png"
            rows[5]["image"] = [rows[5]["image"], rows[6]["image"]]
            rows[5]["question_id"] = "<i>five</i>"
            for row in rows[60:]:
                del row["label"]
        write_jsonl(folder / f"{name}.jsonl", rows)


@pytest.fixture(scope="session")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A job with labels and its report, compared with the published vote on the same rows."""
    folder = tmp_path_factory.mktemp("hostile")
    write_hostile(folder)
    common = ("--train", folder / "train.jsonl", "--data", folder / "corpus.jsonl", "--model", "demo")
    for name, readout in (("vote", "reference"), ("strokes", "ridge")):
        ended = savs_submit(
            *("run", *common, "--name", name, "--readout", readout, "--workspace", folder / "results"),
            *("--keep-vectors", "all", "--report", "--shard-size", 20),
        )
        assert ended.exit_code == 3, ended.output
    made = savs_submit("report", "strokes", "vote", "--workspace", folder / "results", "--gpu-hour-price", 2)
    assert made.exit_code == 0, made.output
    return Run(folder, report_of(folder, "strokes"))


@dataclass
class Trouble:
    """What a page did that it must not do: errors and warnings on its console, dialogs, and requests."""

    found: list[str] = field(default_factory=list)

    def watch(self, page: "Page") -> None:
        page.on("console", lambda said: self._console(said.type, said.text))
        page.on("pageerror", lambda error: self.found.append(f"error: {error}"))
        page.on("dialog", lambda dialog: (self.found.append(f"dialog: {dialog.message}"), dialog.dismiss()))
        page.on("request", lambda request: self._request(request.url))

    def _console(self, kind: str, text: str) -> None:
        if kind in ("error", "warning"):
            self.found.append(f"{kind}: {text}")

    def _request(self, url: str) -> None:
        if not url.startswith(("file:", "data:", "blob:")):
            self.found.append(f"request: {url}")


@pytest.fixture(scope="session")
def chromium() -> "Iterator[Browser]":
    with browser() as started:
        yield started


@dataclass
class Opener:
    """Opens pages; no test passes on whose pages had trouble."""

    chromium: "Browser"
    trouble: Trouble = field(default_factory=Trouble)

    def open(self, path: Path, width: int = 1400, scheme: str = "light") -> "Page":
        context = self.chromium.new_context(
            viewport={"width": width, "height": 900}, color_scheme=scheme, accept_downloads=True
        )
        page = context.new_page()
        page.set_default_timeout(10_000)
        self.trouble.watch(page)
        page.goto(path.as_uri())
        page.wait_for_selector("body[data-drawn]")
        return page


@pytest.fixture
def opener(chromium: "Browser") -> Iterator[Opener]:
    opener = Opener(chromium)
    yield opener
    for context in chromium.contexts:
        context.close()
    assert opener.trouble.found == []


def data_of(page: "Page") -> dict[str, object]:
    """The data that the page holds."""
    found: dict[str, object] = json.loads(page.locator("#data").inner_text())
    return found

"""Classes with names that break JavaScript, lines of JSON or the layout; and clumsy use of the filters."""

import json
from pathlib import Path

import pytest

from jobs.records.row import ResultRow
from tests.jobs.conftest import savs_submit
from tests.jobs.ledgers import classify_job, probable
from tests.report.conftest import Opener, Run
from tests.report.test_kinds_of_jobs import page_of

pytestmark = pytest.mark.browser
NAMES = (
    *("__proto__", "constructor", "toString", "all", "cat", "Cat", "1", "q\"'`\\", "two\nlines", "</script>"),
    *("separated\u2028line", "next\u0085line", "\u202eleft", "w" * 300),
)


def odd(n: int) -> ResultRow:
    name, other = NAMES[n % len(NAMES)], NAMES[(n + 1) % len(NAMES)]
    return probable(n, {name: 0.6, other: 0.4}, NAMES[n * 5 % len(NAMES)])


@pytest.mark.parametrize("width", [390, 1400])
def test_all_charts_are_drawn_whatever_classes_are_called(tmp_path: Path, opener: Opener, width: int) -> None:
    page = opener.open(page_of(tmp_path, classify_job(), odd), width)

    for chart in page.locator(".drawn").all():
        assert chart.locator("svg").count() == 1
    assert "constructor" in str(page.locator("#chart-curves svg").text_content())
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    # and the opener asserts that the console was silent


def test_corrections_are_one_line_each_for_every_reader(tmp_path: Path, opener: Opener) -> None:
    page = opener.open(page_of(tmp_path, classify_job(), odd))
    classes = page.evaluate("JSON.parse(document.getElementById('data').textContent).classes")
    for n in range(len(NAMES)):
        page.locator("#panel .item select").nth(n).select_option(index=n + 1)

    with page.expect_download() as download:
        page.locator("#save").click()

    download.value.save_as(tmp_path / "corrections.jsonl")
    lines = (tmp_path / "corrections.jsonl").read_text().splitlines()  # also ends one at U+2028
    assert [json.loads(line)["label"] for line in lines] == classes
    assert sorted(classes) == sorted(NAMES)


def test_each_number_of_the_matrix_finds_its_rows(tmp_path: Path, opener: Opener) -> None:
    page = opener.open(page_of(tmp_path, classify_job(), odd))

    for button in page.locator(".confusion button").all():
        button.click()
        page.wait_for_function("document.getElementById('shown').textContent.includes('with label')")
        assert page.locator("#shown").inner_text().split()[0] == button.inner_text()
        page.evaluate("document.getElementById('shown').textContent = ''")


def test_every_filter_works_in_the_tab_of_wrong_labels(hostile: Run, opener: Opener) -> None:
    page = opener.open(hostile.page)
    page.locator("#tab-wrong").click()
    examples = page.locator("#panel .item", has_text="training example").count()
    assert examples > 0

    show = page.locator("#filters select[name=show]")
    for name in show.locator("option").all_inner_texts():
        show.select_option(label=name)
    show.select_option(label="prediction is not the label")

    assert page.locator("#panel .item", has_text="training example").count() == examples


def test_a_limit_that_was_emptied_is_none(hostile: Run, opener: Opener) -> None:
    page = opener.open(hostile.page)
    every = page.locator("#shown").inner_text()

    page.locator("#filters input[name=to]").fill("")
    page.locator("#filters input[name=from]").fill("")

    assert page.locator("#shown").inner_text() == every


def test_a_head_whose_score_was_rounded_otherwise_says_so(hostile: Run, opener: Opener) -> None:
    folder = hostile.folder / "results"
    savs_submit("report", "vote", "--workspace", folder)
    [path] = (folder / "jobs").glob("vote-classify-*/report/index.html")
    page = opener.open(path)
    cells = page.evaluate("JSON.parse(document.getElementById('data').textContent).heads.cells")

    for n, cell in enumerate(cells[:3]):
        page.locator("#chart-heads .mark-rect path").nth(n).hover(force=True)
        said = page.locator("#head")
        page.wait_for_function(
            f"document.getElementById('head').textContent.includes('Layer 0, head {cell['head']}')"
        )
        right = sum(count for label, named, count in cell["pairs"] if label == named)
        assert ("up to rounding" in said.inner_text()) == (right != cell["score"])

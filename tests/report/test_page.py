"""The report as a person uses it: looked at, filtered, corrected, printed, on a phone and with a keyboard."""

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from axe_playwright_python.sync_playwright import Axe

from tests.jobs.conftest import read_jsonl, savs_submit
from tests.report.conftest import HOSTILE, ITEMS, QUESTION, Opener, Run

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = pytest.mark.browser
PICTURES = Path(__file__).parents[2] / "build" / "screenshots"  # kept by CI
CURLS, SPIRAL, ZIGZAG = HOSTILE.values()


def shown(page: "Page") -> int:
    """How many items the gallery says it has."""
    return int(page.locator("#shown").inner_text().split()[0])


def choose(page: "Page", name: str, text: str) -> None:
    page.locator(f"#filters select[name={name}]").select_option(label=text)


def cards(page: "Page") -> list[str]:
    return page.locator("#panel .item").all_inner_texts()


# What is there


def test_the_page_is_one_file_that_fetches_nothing_and_has_nothing_to_complain_of(
    hostile: Run, opener: Opener
) -> None:
    page = opener.open(hostile.page)

    assert page.locator("h1").inner_text() == "strokes"
    assert hostile.page.stat().st_size < 10_000_000
    # and the opener asserts that there was no error, no warning, no dialog and no request


def test_hostile_names_stay_text(hostile: Run, opener: Opener) -> None:
    page = opener.open(hostile.page)

    assert CURLS in page.locator("#classes").inner_text()
    assert ZIGZAG in page.locator(".confusion").first.inner_text()
    assert QUESTION in page.locator("#panel .question").first.inner_text()
    page.locator("#panel img").first.hover()
    page.locator("#filters select[name=label]").focus()
    assert page.locator("img[src=x]").count() == 0


def test_the_headline_is_that_of_the_summary(hostile: Run, opener: Opener) -> None:
    summary = json.loads((hostile.page.parents[1] / "summary.json").read_text())
    page = opener.open(hostile.page)

    tiles = page.locator(".tiles").inner_text().replace("\u00a0", " ")
    assert f"{100 * summary['accuracy']:.1f} %" in tiles
    assert f"of {summary['rows']} rows" in tiles
    assert "vote-classify" in page.locator("#headline table").inner_text()
    assert "at 2 per worker-hour" in page.locator("#run .facts").inner_text()


def test_without_scripts_the_numbers_are_there(hostile: Run, opener: Opener) -> None:
    context = opener.chromium.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(hostile.page.as_uri())

    assert "Accuracy" in page.locator(".tiles").inner_text()
    assert page.locator("#classes table").count() >= 2


# The gallery


def test_each_filter_leaves_the_items_that_it_names(hostile: Run, opener: Opener) -> None:
    page = opener.open(hostile.page)
    rows = {row["index"]: row for row in results(hostile)}
    every = shown(page)
    assert every == ITEMS

    choose(page, "prediction", CURLS)
    assert shown(page) == sum(row.get("prediction") == CURLS for row in rows.values())
    page.locator("#filters button").click()
    choose(page, "label", SPIRAL)
    assert shown(page) == sum(row.get("label") == SPIRAL for row in rows.values())
    page.locator("#filters button").click()
    choose(page, "show", "prediction is not the label")
    wrong = [
        r for r in rows.values() if r.get("prediction") and r.get("label") not in (None, r["prediction"])
    ]
    assert shown(page) == len(wrong)
    choose(page, "show", "failed")
    assert shown(page) == 1 and "missing_media" in cards(page)[0]
    choose(page, "show", "differs from vote")
    votes = {row["index"]: row.get("prediction") for row in results(hostile, "vote")}
    assert shown(page) == sum(row.get("prediction") != votes[n] for n, row in rows.items())
    page.locator("#filters button").click()
    page.locator("#filters input[name=to]").fill("60")
    assert shown(page) == sum((row.get("confidence") or 1) <= 0.6 for row in rows.values())
    page.locator("#filters button").click()
    page.locator("#filters input[name=text]").fill("<I>FIVE")
    assert shown(page) == 1
    assert page.locator("#panel .item img").count() == 2
    page.locator("#filters button").click()
    assert shown(page) == every


def results(run: Run, name: str = "strokes") -> list[dict[str, object]]:
    said = savs_submit("results", name, "--workspace", run.workspace)
    return [json.loads(line) for line in said.stdout.splitlines()]


def test_a_number_of_the_confusion_matrix_shows_its_rows(hostile: Run, opener: Opener) -> None:
    page = opener.open(hostile.page)
    button = page.locator(".confusion td:not(.right) button").first
    label, prediction, count = (
        button.get_attribute("data-label"),
        button.get_attribute("data-prediction"),
        button.inner_text(),
    )

    button.click()

    page.wait_for_function("document.getElementById('shown').textContent.includes('with label')")
    assert shown(page) == int(count)
    assert all(f"label: {label}" in card and str(prediction) in card for card in cards(page))


def test_an_item_that_cannot_be_opened_says_why(hostile: Run, opener: Opener) -> None:
    page = opener.open(hostile.page)
    choose(page, "show", "failed")

    assert "no picture" in page.locator("#panel .missing").inner_text()
    assert page.locator("#panel select").count() == 0  # there is nothing to correct


# The map of heads


def test_a_head_shows_what_it_confuses_when_it_is_pointed_at(hostile: Run, opener: Opener) -> None:
    page = opener.open(hostile.page)
    page.locator("#chart-heads").scroll_into_view_if_needed()

    page.locator("#chart-heads .mark-rect path").nth(4).hover()

    said = page.locator("#head")
    said.wait_for(state="visible")
    assert "Layer 0, head 4" in said.inner_text()
    assert CURLS in said.inner_text()
    numbers = [int(cell) for cell in said.locator("td").all_inner_texts() if cell.strip()]
    assert sum(numbers) == 60  # examples


def test_the_best_heads_are_reached_by_keyboard(hostile: Run, opener: Opener) -> None:
    page = opener.open(hostile.page)
    button = page.locator("#head-buttons button").first
    button.focus()

    page.keyboard.press("Enter")

    layer, head = button.inner_text().split(".")
    assert f"Layer {layer}, head {head}" in page.locator("#head").inner_text()


# Corrections


def test_keys_make_corrections_that_relabel_takes(hostile: Run, opener: Opener, tmp_path: Path) -> None:
    page = opener.open(hostile.page)
    items = page.locator("#panel .item")
    first, second, third = (items.nth(n).evaluate("card => card.row.index") for n in range(3))
    items.nth(0).focus()

    page.keyboard.press("2")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("x")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("1")
    page.keyboard.press("0")  # takes it back

    assert page.locator("#basket-count").inner_text() == "2 corrections"
    with page.expect_download() as download:
        page.locator("#save").click()
    path = tmp_path / download.value.suggested_filename
    download.value.save_as(path)
    assert path.name == "corrections.jsonl"
    classes = page.locator("#key-list li").evaluate_all("all => all.map(one => one.textContent)")
    lines = {line["index"]: line for line in read_jsonl(path)}
    assert lines[first]["label"] == classes[1]
    assert lines[second] == {"index": second, "id": lines[second]["id"], "unusable": True}
    assert third not in lines
    said = savs_submit("relabel", "strokes", path, "--workspace", hostile.workspace, "--json")
    assert said.exit_code == 0, said.output
    assert json.loads(said.stdout)["added"] == 1


def test_a_class_is_chosen_without_keys(hostile: Run, opener: Opener) -> None:
    page = opener.open(hostile.page)
    card = page.locator("#panel .item").first

    card.locator("select").select_option(label=ZIGZAG)

    assert "corrected" in str(card.get_attribute("class"))
    assert page.locator("#basket-count").inner_text() == "1 correction"
    # and it is still chosen after the gallery was filtered
    page.locator("#filters input[name=from]").fill("1")
    page.locator("#filters button").click()
    assert card.locator("select option:checked").inner_text() == ZIGZAG


def test_likely_wrong_labels_have_a_tab_of_their_own(hostile: Run, opener: Opener, tmp_path: Path) -> None:
    page = opener.open(hostile.page)
    page.locator("#tab-items").focus()

    page.keyboard.press("ArrowRight")

    assert page.locator("#tab-wrong").get_attribute("aria-selected") == "true"
    assert shown(page) == int(page.locator("#tab-wrong span").inner_text())
    assert any("training example" in card for card in cards(page))


# For everybody


@pytest.mark.parametrize("width", [390, 1400])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_serious_bars_people_and_the_page_fits(
    hostile: Run, opener: Opener, width: int, scheme: str
) -> None:
    page = opener.open(hostile.page, width, scheme)
    page.locator("#panel .item select").first.select_option(index=1)

    found = Axe().run(page, options={"resultTypes": ["violations"]}).response["violations"]

    serious = [one for one in found if one["impact"] in ("serious", "critical")]
    assert [(one["id"], one["nodes"][0]["html"][:200]) for one in serious] == []
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    PICTURES.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=PICTURES / f"report-{width}-{scheme}.png", full_page=True)


def test_the_page_prints_its_items_without_controls(hostile: Run, opener: Opener) -> None:
    page = opener.open(hostile.page)

    page.emulate_media(media="print")
    page.evaluate("dispatchEvent(new Event('beforeprint'))")

    assert page.locator("#panel .item").count() == ITEMS
    assert not page.locator("#filters").is_visible()
    assert page.locator("#panel img").first.is_visible()

"""Draws the picture of a report that the README shows: `python -m tests.report.picture PAGE PICTURE`.

PAGE is the report of `strokes` after `make demo`, made by
`savs-submit report strokes strokes-zero-shot strokes-vote`; PICTURE is `docs/assets/report.png`.
"""

import sys
from io import BytesIO
from pathlib import Path

from PIL import Image

from tests.report.browser import browser

LEFT_OUT = (
    "nav, .kind, footer, details, #classes, #confidence, #failures, #run, #filters, .tabs, #shown, #more"
)
ITEMS = 4
SHORTEN = f"""() => {{
  document.querySelectorAll({LEFT_OUT!r}).forEach((one) => one.remove());
  [...document.querySelectorAll("#panel .item")].slice({ITEMS}).forEach((one) => one.remove());
  document.querySelectorAll("section").forEach((one) => (one.style.marginTop = 0));
  document.querySelector("#head-buttons button").click();
}}"""


def draw(page: Path) -> Image.Image:
    """Return parts of the page, one below the other, in few colours."""
    with browser() as chromium:
        shown = chromium.new_page(viewport={"width": 1180, "height": 900})
        shown.goto(page.resolve().as_uri())
        shown.wait_for_selector("body[data-drawn]")
        shown.evaluate(SHORTEN)
        data = shown.screenshot(full_page=True)
    return Image.open(BytesIO(data)).convert("RGB").quantize(128)


if __name__ == "__main__":
    draw(Path(sys.argv[1])).save(sys.argv[2], optimize=True)

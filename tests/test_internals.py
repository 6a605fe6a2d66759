"""docs/internals.md and docs/states.md name files that exist, and the imports that the code has."""

import re
from pathlib import Path

import pytest

from tests import imports

ROOT = Path(__file__).parents[1]
PAGES = ("docs/internals.md", "docs/states.md", "CONTRIBUTING.md")


@pytest.mark.parametrize("page", PAGES)
def test_every_file_that_a_page_names_exists(page: str) -> None:
    named = re.findall(r"`((?:savs|jobs|workers|tests|bench|deploy)/[\w/.-]*)`", (ROOT / page).read_text())

    assert named
    assert [path for path in named if not (ROOT / path).exists()] == []


def test_the_table_of_imports_is_that_of_the_code() -> None:
    assert imports.table() in (ROOT / "docs" / "internals.md").read_text()

"""What the hooks of mkdocs make of pages and docstrings."""

import importlib.util
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from mkdocs.exceptions import PluginError

from tests.docs.blocks import ROOT

pytestmark = pytest.mark.docs
PAGE = SimpleNamespace(file=SimpleNamespace(abs_src_path=str(ROOT / "docs" / "page.md"), src_uri="page.md"))


def hook(name: str) -> Any:
    spec = importlib.util.spec_from_file_location(name, Path(ROOT, "docs", "hooks", f"{name}.py"))
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_a_link_out_of_docs_becomes_the_name_of_the_file() -> None:
    inside, outside = "[the model](models.md)", "[`savs/errors.py`](../savs/errors.py)"
    text = f"See [where code goes](../CONTRIBUTING.md#words), {inside}, {outside}."

    shown = hook("outside_links").on_page_markdown(text, PAGE)

    expected = "See where code goes (`CONTRIBUTING.md`), [the model](models.md), `savs/errors.py`."
    assert shown == expected


def test_a_page_in_a_folder_keeps_its_links_to_pages_and_names_what_is_outside() -> None:
    file = SimpleNamespace(abs_src_path=str(ROOT / "docs" / "how" / "page.md"), src_uri="how/page.md")
    text = "[the model](../models.md#heads), [the rules](../../CONTRIBUTING.md)"

    shown = hook("outside_links").on_page_markdown(text, SimpleNamespace(file=file))

    assert shown == "[the model](../models.md#heads), the rules (`CONTRIBUTING.md`)"


def test_a_link_to_a_file_that_does_not_exist_fails_the_build() -> None:
    with pytest.raises(PluginError, match=r"page\.md: link to \.\./nothing\.py"):
        hook("outside_links").on_page_markdown("[it](../nothing.py)", PAGE)


@pytest.mark.parametrize(
    "html",
    [
        '<script src="https://unpkg.com/x"></script>',
        '<link rel="stylesheet" href="//fonts.example/css">',
        '<img alt="" src="http://example.org/a.png">',
        '<pre class="mermaid">',
    ],
)
def test_a_page_that_would_load_something_from_elsewhere_fails_the_build(html: str) -> None:
    with pytest.raises(PluginError, match=r"page\.md: the page would load <"):
        hook("outside_links").on_post_page(html, PAGE)


def test_a_page_may_link_to_elsewhere() -> None:
    html = '<a href="https://arxiv.org/abs/2412.00142">paper</a><script src="assets/a.js"></script>'

    assert hook("outside_links").on_post_page(html, PAGE) == html


def test_names_and_their_meanings_become_a_list_and_a_tree_stays_a_tree() -> None:
    names, tree = "name, more  what it\n            is\nlast  the end", "A\n├── B  one\n└── C"
    text = f"Return it.\n\n{names}\n\n{tree}\n\nRaises B."

    shown = hook("plain_docstrings").as_markdown(text)

    assert shown == (
        "Return it.\n\n`name`, `more`\n:   what it\n    is\n\n`last`\n:   the end\n\n"
        "```text\nA\n├── B  one\n└── C\n```\n\nRaises B."
    )


def test_an_example_in_a_commands_text_is_shown_as_code_and_options_stay_in_one_piece() -> None:
    shown = hook("commands").on_page_content("<p>Example: savs-submit run\n--train a</p>")

    assert shown == ('<p>Example: <code>savs-submit run <span class="option">--train</span> a</code></p>')

"""Labels that are lists."""

from pathlib import Path

import pytest

from savs.data.labels import LabelKinds, labels_in
from savs.data.samples import Sample, read_samples
from savs.errors import ManifestError
from tests.jobs.conftest import write_jsonl


def rows(*labels: object) -> list[dict[str, object]]:
    return [{"image": f"{i}.png", "question": "?", "label": label} for i, label in enumerate(labels)]


def test_a_label_may_be_a_list_of_texts_or_an_empty_one(tmp_path: Path) -> None:
    path = write_jsonl(tmp_path / "rows.jsonl", rows(["cat", "indoor"], [], ["größer"]))

    found = read_samples(path, labelled=True)

    assert [sample.label for sample in found] == [("cat", "indoor"), (), ("größer",)]


@pytest.mark.parametrize(
    ("label", "why"),
    [
        (["cat", "cat"], "'label' has 'cat' twice"),
        (["cat", " "], "'label' is a list with something that is not a text, or is blank"),
        (["cat", 3], "something that is not a text"),
        (["cat", ["dog"]], "something that is not a text"),
        ([f"{i}" for i in range(1001)], "a list of 1001 labels; at most 1000 are possible"),
        (["x" * 999] * 2, "'label' has '" + "x" * 40 + "' twice"),
        (["\ud800"], "lone surrogate"),
        ({"cat": 1}, "'label' must be text, not an object"),
    ],
)
def test_a_list_of_something_else_is_refused(tmp_path: Path, label: object, why: str) -> None:
    path = write_jsonl(tmp_path / "rows.jsonl", rows(label))

    with pytest.raises(ManifestError, match=why):
        read_samples(path, labelled=True)


def test_lists_are_only_in_the_general_format(tmp_path: Path) -> None:
    path = write_jsonl(tmp_path / "rows.jsonl", rows(["Yes"]))

    with pytest.raises(ManifestError, match="'label' must be text, not a list"):
        read_samples(path, labelled=True, format="sugarcrepe")


@pytest.mark.parametrize("labels", [("cat", ["cat"]), (["cat"], ["dog"], "cat")])
def test_lists_and_texts_in_one_file_name_a_line_of_each(tmp_path: Path, labels: tuple[object, ...]) -> None:
    path = write_jsonl(tmp_path / "rows.jsonl", rows(*labels))
    text, listed = (1, 2) if labels[0] == "cat" else (3, 1)

    with pytest.raises(
        ManifestError, match=f"line {text} is one text and that in line {listed} is a list; write lists"
    ):
        read_samples(path, labelled=True)
    # and a corpus may have both
    assert len(read_samples(path)) == len(labels)


def test_a_sample_keeps_a_list_as_a_tuple() -> None:
    assert Sample(media=("a.png",), label=["cat"]).label == ("cat",)  # type: ignore[arg-type]
    assert [labels_in(label) for label in (None, "cat", (), ("a", "b"))] == [(), ("cat",), (), ("a", "b")]
    assert LabelKinds().mixed is None

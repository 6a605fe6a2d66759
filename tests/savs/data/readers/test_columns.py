"""Columns of tables as fields of rows."""

import math
from typing import Any

import pytest

from savs.data.readers.columns import Columns, choose_columns, label_of, row_of
from savs.data.readers.reader import Given
from savs.data.samples import Reading
from savs.errors import BadRow, SettingsError

NAMES = ("cat", "dog")
COLUMNS = Columns({"image": "image", "label": "label", "question": "question", "id": "id"}, ("note",))


def row(**values: Any) -> dict[str, Any]:
    return row_of({"image": "a.jpg"} | values, COLUMNS, Reading("/in"), ())


def test_columns_are_found_by_their_usual_names_in_any_case() -> None:
    columns = choose_columns(["Class", "File_Name", "width"], Given(), "x")

    assert columns == Columns({"image": "File_Name", "label": "Class"}, ("width",))
    assert str(columns) == "image=File_Name, label=Class; 1 other column kept"


def test_a_column_that_is_named_is_taken_although_another_is_called_as_usual() -> None:
    columns = choose_columns(["image", "thumbnail"], Given(columns={"image": "thumbnail"}), "x")

    assert columns.fields == {"image": "thumbnail"} and columns.others == ("image",)


@pytest.mark.parametrize(
    ("names", "given", "said"),
    [
        (["a"], {"columns": {"image": "b"}}, "--columns: x has no column 'b'; it has 'a'"),
        (["image"], {"columns": {"extra": "image"}}, "'extra' is not a field"),
        (["image", "image"], {}, "two columns are called 'image'"),
        (["a"], {}, "x has no column of images; it has 'a'"),
        (["image"], {"labelled": True}, "x has no column of labels"),
    ],
)
def test_columns_that_cannot_be_chosen_are_refused(
    names: list[str], given: dict[str, Any], said: str
) -> None:
    with pytest.raises(SettingsError, match=said):
        choose_columns(names, Given(**given), "x")


@pytest.mark.parametrize("image", [None, "", [], " ", 5, ["a.jpg", None]])
def test_a_row_without_its_image_is_no_question_about_text(image: Any) -> None:
    with pytest.raises(BadRow, match=r"'image' (is empty|must hold paths)"):
        row(image=image, question="What?")


@pytest.mark.parametrize("missing", [None, "", math.nan])
def test_values_that_are_missing_are_left_out(missing: Any) -> None:
    assert row(label=missing, id=missing, question=missing) == {"image": ["/in/a.jpg"]}


@pytest.mark.parametrize(("id", "text"), [("007", "007"), (7, "7"), (7.0, "7"), (2**70, str(2**70))])
def test_ids_keep_their_digits(id: Any, text: str) -> None:
    assert row(id=id)["id"] == text


@pytest.mark.parametrize(
    ("value", "label"),
    [
        ("cat", "cat"),
        (1, "dog"),
        (1.0, "dog"),
        ("1", "dog"),
        ("1.0", "dog"),
        (-1, None),
        ([0, "dog"], [*NAMES]),
    ],
)
def test_numeric_labels_are_named_and_minus_one_is_none(value: Any, label: Any) -> None:
    assert label_of(value, NAMES, "label") == label


@pytest.mark.parametrize("value", [2, -2, "9" * 5000, "bird", 0.5, math.inf, None, b"cat", {}, [None]])
def test_what_is_no_class_costs_the_row(value: Any) -> None:
    with pytest.raises(BadRow, match="'label'"):
        label_of(value, NAMES, "label")


def test_other_columns_are_kept_as_they_are() -> None:
    assert row(note=" x ")["extra"] == {"note": " x "}

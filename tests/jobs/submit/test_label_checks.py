"""Labels of examples that are probably a mistake are named with their lines, and stop no job."""

import json
import pickle
from pathlib import Path
from typing import Any

import pytest

from jobs.plans import label_checks
from jobs.plans.planner import plan_manifest
from jobs.plans.survey import Survey
from tests.jobs.conftest import savs_submit, write_jsonl

QUESTION = "What is it?"


def example(image: str, label: str, question: str = QUESTION) -> dict[str, str]:
    return {"image": image, "question": question, "label": label}


def of(*labels: str) -> list[dict[str, str]]:
    """An example of its own for each label."""
    return [example(f"{i}.png", label) for i, label in enumerate(labels)]


GOOD = [example(f"{label}-{i}.png", label) for i in range(4) for label in ("cat", "dog")]  # lines 1 to 8


def warned(folder: Path, rows: list[Any], *options: object) -> list[str]:
    """The warnings about a training file of these rows, without its folder."""
    path = write_jsonl(folder / "train.jsonl", rows)
    said = savs_submit("plan", "--train", path, "--json", *options)
    assert said.exit_code == 0, said.output
    [found] = json.loads(said.stdout)
    assert all(warning.startswith(str(path)) for warning in found["warnings"])
    return [warning.removeprefix(f"{folder}/") for warning in found["warnings"]]


def test_examples_without_a_doubt_have_no_warning(tmp_path: Path) -> None:
    assert warned(tmp_path, GOOD) == []


def test_classes_with_one_example_are_named_with_their_lines(tmp_path: Path) -> None:
    assert warned(tmp_path, [*GOOD, b"", example("x.png", "fox")]) == [
        "train.jsonl: 1 of 3 classes has only one example: 'fox' (line 10); add examples, or remove these "
        "rows"
    ]


def test_of_many_classes_with_one_example_five_are_named_and_the_others_counted(tmp_path: Path) -> None:
    common = [f"common-{i}" for i in range(9)]

    [warning] = warned(tmp_path, of(*3 * common, *(f"rare-{i}" for i in range(8))))

    assert warning == (
        "train.jsonl: 8 of 17 classes have only one example: 'rare-0' (line 28), 'rare-1' (line 29), "
        "'rare-2' (line 30), 'rare-3' (line 31), 'rare-4' (line 32) and 3 others; add examples, or remove "
        "these rows"
    )


@pytest.mark.parametrize(
    ("labels", "said"),
    [
        # fewer than two examples per class
        (["a", "a", "b", "b", "c", "d"], "4 classes with 6 examples: 2 of the classes have only one"),
        # more, but most classes have one
        (["a"] * 9 + ["b", "c"], "3 classes with 11 examples: 2 of the classes have only one"),
    ],
)
def test_of_classes_that_most_have_one_example_it_is_asked_whether_they_are_classes(
    tmp_path: Path, labels: list[str], said: str
) -> None:
    [warning] = warned(tmp_path, of(*labels))

    assert warning.startswith(f"train.jsonl: {said} example: {labels[-2]!r} (line {len(labels) - 1})")
    assert warning.endswith("is 'label' the class? If it is, add examples")


def test_two_classes_of_which_one_has_one_example_may_be_classes(tmp_path: Path) -> None:
    [warning] = warned(tmp_path, of("a", "a", "a", "b"))

    assert "1 of 2 classes has only one example: 'b' (line 4)" in warning
    assert "is 'label' the class?" not in warning


def test_labels_that_are_refused_have_the_error_alone(tmp_path: Path) -> None:
    path = write_jsonl(tmp_path / "train.jsonl", of("cat", "Cat", "dog"))

    said = savs_submit("plan", "--train", path, "--json")

    [found] = json.loads(said.stdout)
    assert "each of the 3 rows has a label of its own" in found["refused"]
    assert said.exit_code == 2 and found["warnings"] == []


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("cat", "Cat "),  # case and an end
        ("Straße", "STRASSE"),  # case as Unicode has it
        ("black cat", "black \t\u00a0cat"),  # blanks inside
        ("cat 1", "ｃａｔ １"),  # wide forms
        ("ﬁsh", "FISH"),  # a ligature
    ],
)
def test_labels_that_differ_only_in_how_they_are_written_are_named_together(
    tmp_path: Path, one: str, other: str
) -> None:
    assert warned(tmp_path, of(one, "dog", other, one, "dog", other)) == [
        "train.jsonl: labels that differ only in case, blanks or Unicode form are different classes: "
        f"{one!r} (line 1) and {other!r} (line 3); write each class in one way"
    ]


def test_labels_that_look_the_same_are_shown_by_their_characters(tmp_path: Path) -> None:
    [warning] = warned(tmp_path, 2 * of("caf\u00e9", "cafe\u0301", "tea")[:3])[:1]

    assert r"'caf\xe9' (line 1) and 'cafe\u0301' (line 2)" in warning


def test_all_classes_that_are_written_in_several_ways_are_one_warning(tmp_path: Path) -> None:
    spelled = [f"{word}{i}" for i in range(7) for word in ("cat ", "cat", "Cat")]
    cats = [" " * i + "dog" for i in range(8)]

    [warning] = warned(tmp_path, of(*spelled, *cats, *spelled, *cats))

    assert "'cat0' (line 2) and 'Cat0' (line 3); 'cat1'" in warning
    assert "'cat4' (line 14) and 'Cat4' (line 15) and 3 others; write each" in warning
    # those of one class are shortened, too
    [warning] = warned(tmp_path, of(*cats, "x", *cats, "x"))
    assert "'    dog' (line 5) and 3 others; write each" in warning


def test_the_same_item_with_another_label_is_named_and_such_rows_are_counted(tmp_path: Path) -> None:
    wrong = [
        example("cat-1.png", "dog"),  # line 9, unlike line 3
        example("cat-0.png", "dog", "Is it?"),  # another question
        {"image": ["cat-0.png", "dog-0.png"], "question": QUESTION, "label": "cat"},
        {"image": ["dog-0.png", "cat-0.png"], "question": QUESTION, "label": "dog"},  # another order
        example("dog-3.png", "cat"),
    ]

    assert warned(tmp_path, GOOD + wrong) == [
        "train.jsonl:9: the label differs from that of line 3, which has the same media and question; in "
        "all, 2 of 13 rows contradict an earlier one; correct the labels, or remove the rows"
    ]


def test_copies_of_a_row_are_counted_and_the_first_one_is_named(tmp_path: Path) -> None:
    # given a copy with an id of its own, and another of a row that itself contradicts one
    copies = [example("dog-0.png", "dog") | {"id": "x"}, *2 * [example("cat-1.png", "dog")]]

    contradiction, copy = warned(tmp_path, GOOD + copies)

    assert contradiction.startswith("train.jsonl:10: the label differs from that of line 3, ")
    assert "2 of 11 rows contradict an earlier one" in contradiction
    assert copy == (
        "train.jsonl:9: the media, question and label are those of line 2; in all, 2 of 11 rows repeat an "
        "earlier one; remove the repeated rows, because each counts as another example"
    )
    assert "1 of 9 rows repeats an earlier one" in warned(tmp_path, [*GOOD, GOOD[1]])[0]


@pytest.mark.parametrize(
    ("written", "options"),
    [
        ("./cat-0.png", ()),
        ("FOLDER/cat-0.png", ()),
        ("file://FOLDER/cat-0.png", ()),
        ("/old/cat-0.png", ("--strip-prefix", "/old")),
        ("/new/cat-0.png", ("--media-root", "/new")),
    ],
)
def test_addresses_of_media_are_compared_as_they_are_read(
    tmp_path: Path, written: str, options: tuple[str, ...]
) -> None:
    rows = [*GOOD, example(written.replace("FOLDER", str(tmp_path)), "cat")]

    [warning] = warned(tmp_path, rows, *options)

    assert warning.startswith("train.jsonl:9: the media, question and label are those of line 1;")


def test_rows_of_a_list_on_one_line_are_named_by_their_number(tmp_path: Path) -> None:
    rows = [*GOOD, example("cat-1.png", "dog"), example("fox.png", "fox")]
    path = tmp_path / "train.json"
    path.write_text("\n\n" + json.dumps(rows))

    [found] = json.loads(savs_submit("plan", "--train", path, "--json").stdout)

    lone, contradiction = found["warnings"]
    assert "'fox' (row 10)" in lone
    assert contradiction.startswith(f"{path}:3 (row 9): the label differs from that of row 3, ")
    # and by their line where each has one
    path.write_text(json.dumps(rows, indent=1))
    [found] = json.loads(savs_submit("plan", "--train", path, "--json").stdout)
    assert "'fox' (line 47)" in found["warnings"][0]
    assert found["warnings"][1].startswith(f"{path}:42: the label differs from that of line 12, ")


def test_labels_that_control_a_terminal_or_are_long_are_escaped_and_shortened(tmp_path: Path) -> None:
    hostile = ["\x1b[31m[red]\n\u202e\x9b" + "x" * 3000, "y" * 100_000, "Y" * 200 + " ", "y" * 200]
    rows = of("a", *hostile, "a", *hostile[2:])

    path = write_jsonl(tmp_path / "train.jsonl", [*rows, *GOOD])
    said = savs_submit("plan", "--train", path)

    lines = [line for line in said.stdout.splitlines() if "train.jsonl: " in line]
    assert len(lines) == 2 and max(map(len, lines)) < 600
    assert all(line.isprintable() for line in lines)
    assert r"'\x1b[31m[red]\n\u202e\x9b" in lines[0]
    assert f"'{'Y' * 40}'… (line 4) and '{'y' * 40}'… (line 5); write each" in lines[1]


def test_a_label_that_every_row_has_is_shortened_when_it_is_refused(tmp_path: Path) -> None:
    path = write_jsonl(tmp_path / "train.jsonl", of(*["z" * 5000] * 3))

    said = savs_submit("extract", "--train", path, "--name", "x", "--model", "demo", "--workspace", tmp_path)

    assert f"every label is '{'z' * 40}'…; at least two classes are needed" in said.stderr


def test_labels_too_long_for_a_class_are_compared_as_they_are(tmp_path: Path) -> None:
    # Sorting the marks on one letter takes a time that grows by their square: minutes for such a label.
    marks = "\u0301\u0323" * 200_000

    assert warned(tmp_path, of("a", "A" + marks, "a", "A" + marks, "a" + marks, "a" + marks)) == []


def test_a_manifest_with_too_many_rows_is_compared_in_part_and_that_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(label_checks, "MAX_ITEMS", 8)
    late = [example("late.png", "cat")] * 2

    copy, cut = warned(tmp_path, [*GOOD, *late, GOOD[0]])

    # then rows that are like one of the first are found, and none else
    assert copy.startswith("train.jsonl:11: ") and "1 of 11 rows repeats" in copy
    assert cut == (
        "train.jsonl:9: from here on, rows are compared only with the first 8 different ones; later rows "
        "that repeat or contradict each other are not found"
    )
    # and of a manifest that is just small enough nothing is said
    assert warned(tmp_path, GOOD) == []


def test_more_classes_than_are_counted_are_said_to_be_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(label_checks, "MAX_CLASSES", 3)
    monkeypatch.setattr(Survey, "MAX_LABELS", 3)

    [warning] = warned(tmp_path, of("a", "a", "b", "c", "d", "e"))

    assert warning.startswith("train.jsonl: more than 3 classes with 6 examples: 2 of the classes have only")


def test_rows_are_not_held_in_memory_after_the_pass(tmp_path: Path) -> None:
    sizes = []
    for count in (100, 2000):
        rows = [example(f"{i}.png", ("cat", "dog")[i % 2]) for i in range(count)]
        survey = Survey()
        path = write_jsonl(tmp_path / "train.jsonl", [*rows, example("0.png", "dog")])
        plan_manifest(str(path), 8, labelled=True, survey=survey)
        assert survey.label_warnings("x")
        sizes.append(len(pickle.dumps(survey)))

    assert sizes[1] - sizes[0] < 100


def test_labels_of_a_corpus_are_not_examples(tmp_path: Path) -> None:
    path = write_jsonl(tmp_path / "corpus.jsonl", [*of("cat", "Cat", "dog"), *of("dog")])

    [found] = json.loads(savs_submit("plan", "--data", path, "--json").stdout)

    said = "corpus.jsonl: 1 row has the media and the question of an earlier row, for example '0.png'"
    assert found["warnings"] == [f"{tmp_path}/{said}"]

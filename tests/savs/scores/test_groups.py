"""Rows that are scored together: NaturalBench's fours, SugarCrepe's pairs, the reward bench's pairs."""

from dataclasses import replace
from itertools import permutations

import pytest

from savs.scores import groups
from savs.scores.groups import GroupScores
from savs.scores.intervals import rate_of, wilson
from savs.scores.metrics import Tally, score
from savs.scores.scored import Scored
from tests.savs.data.test_formats import published

FOUR_IMAGES = (("a.jpg",), ("b.jpg",), ("a.jpg",), ("b.jpg",))


def scored(rows: list[Scored]) -> GroupScores:
    tally = Tally()
    for row in rows:
        tally.add(row)
    scores = score(tally)
    assert scores is not None
    [found] = scores.groups.values()
    return found


def natural(*fours: str) -> list[Scored]:
    """Groups of four rows: "1" right, "0" wrong, "x" failed, "?" without a label."""
    rows = []
    for index, mark in enumerate("".join(fours)):
        rows.append(
            Scored(
                index,
                prediction=None if mark == "x" else "Yes" if mark != "0" else "No",
                label=None if mark == "?" else "Yes",
                error="missing_media" if mark == "x" else None,
                format="natural_ret",
                media=FOUR_IMAGES[index % 4],
            )
        )
    return rows


def pair(number: int, preferred: float, other: float, image: str = "") -> list[Scored]:
    """The two rows of a pair of the reward bench, with their scores for "preferred"."""
    return [
        Scored(
            index=2 * number + i,
            prediction="preferred",
            label=label,
            scores={"preferred": value, "non-preferred": 1 - value},
            format="mrb_individual",
            group=f"q{number}",
            media=(image or f"{number}.jpg",),
        )
        for i, (label, value) in enumerate([("preferred", preferred), ("non-preferred", other)])
    ]


@pytest.mark.parametrize(
    ("four", "questions", "images", "groups"),
    # rows are (q0, i0), (q0, i1), (q1, i0), (q1, i1)
    [
        ("1111", 2, 2, 1),
        ("1100", 1, 0, 0),  # the first question about both images
        ("0011", 1, 0, 0),
        ("1010", 0, 1, 0),  # both questions about the first image
        ("0101", 0, 1, 0),
        ("1001", 0, 0, 0),
        ("0110", 0, 0, 0),
        ("1110", 1, 1, 0),
        ("0111", 1, 1, 0),
        ("0000", 0, 0, 0),
    ],
)
def test_a_four_counts_by_question_by_image_and_as_a_whole(
    four: str, questions: int, images: int, groups: int
) -> None:
    found = scored(natural(four)).rates

    assert (found["questions"].rate, found["questions"].rows) == (questions / 2, 2)
    assert (found["images"].rate, found["images"].rows) == (images / 2, 2)
    assert (found["groups"].rate, found["groups"].rows) == (groups, 1)


def test_fours_with_their_intervals() -> None:
    found = scored(natural("1111", "1100", "1110", "1111", "0000"))

    assert (found.scored, found.unscored) == (5, 0)
    assert found.rates["groups"].rate == 2 / 5
    # groups are independent of each other, but the two questions of one are not
    assert found.rates["groups"].interval == wilson(2, 5)
    assert found.rates["questions"] == rate_of({(2, 2): 2, (2, 1): 2, (2, 0): 1})
    assert found.rates["images"] == rate_of({(2, 2): 2, (2, 1): 1, (2, 0): 2})


@pytest.mark.parametrize("broken", ["1x11", "xxxx", "11?1", "??xx", "1"])
def test_a_four_of_which_a_row_is_missing_is_not_scored_and_is_named(broken: str) -> None:
    found = scored(natural("1111", "0000", broken))

    assert (found.scored, found.unscored) == (2, 1)
    assert found.rates["groups"].rate == 0.5 and found.rates["questions"].rows == 4


def test_where_no_group_is_whole_there_are_no_rates() -> None:
    found = scored(natural("1x11"))
    assert (found.rates, found.scored, found.unscored) == ({}, 0, 1)


def test_a_corpus_without_labels_has_no_groups_and_keeps_none() -> None:
    tally = Tally()
    for row in natural("????" * 50):
        tally.add(row)
    assert score(tally) is None
    assert not tally.groups["natural_ret"].open and not tally.rows.shared


def test_rows_that_are_not_in_the_published_order_are_noticed() -> None:
    rows = natural("1111", "1111")
    # given a file that lacks its second row
    shifted = [
        Scored(i, "Yes", "Yes", format="natural_ret", media=row.media)
        for i, row in enumerate(rows[:1] + rows[2:])
    ]
    assert scored(rows).unlike == 0
    assert (scored(shifted).scored, scored(shifted).unlike) == (1, 1)


def test_sugarcrepe_counts_a_pair_only_if_both_rows_are_right_and_by_split() -> None:
    marks = {"add": ["11", "10", "11"], "swap": ["01", "00"]}
    rows: list[Scored] = []
    for split, pairs in marks.items():
        for number, two in enumerate(pairs):
            for mark in two:
                prediction = "Yes" if mark == "1" else "No"
                media = (f"{split}{number}.jpg",)
                rows.append(
                    Scored(len(rows), prediction, "Yes", format="sugarcrepe", split=split, media=media)
                )

    found = scored(rows)

    assert found.rates["pairs"].rate == 2 / 5
    assert found.rates["pairs"].interval == wilson(2, 5)
    assert {split: rates["pairs"].rate for split, rates in found.splits.items()} == {"add": 2 / 3, "swap": 0}
    assert {split: rates["pairs"].rows for split, rates in found.splits.items()} == {"add": 3, "swap": 2}


def test_a_pair_of_the_reward_bench_is_right_if_the_preferred_answer_is_strictly_ahead() -> None:
    found = scored([*pair(0, 0.7, 0.6), *pair(1, 0.4, 0.9), *pair(2, 0.5, 0.5), *pair(3, 0.1, 0.0)])

    assert found.rates["pairs"].rate == 2 / 4
    assert found.rates["tied"].rate == 1 / 4
    assert found.rates["pairs"].interval == wilson(2, 4)


def test_pairs_that_show_the_same_picture_are_not_independent() -> None:
    rows = [
        row for i in range(20) for row in pair(i, 0.7 if i < 10 else 0.2, 0.5, image=f"{i % 20 // 10}.jpg")
    ]
    low, high = scored(rows).rates["pairs"].interval
    assert (low, high) != wilson(10, 20) and low < 0.1 and high > 0.9


def test_a_name_that_has_a_third_row_is_not_scored_whatever_the_order() -> None:
    rows = [*pair(0, 0.9, 0.1), *pair(0, 0.2, 0.3)[:1], *pair(1, 0.9, 0.1)]
    for order in permutations(rows):
        found = scored(list(order))
        assert (found.scored, found.doubled, found.unscored) == (1, 1, 0)
        assert found.rates["pairs"].rate == 1


def test_a_pair_of_which_both_rows_failed_is_named_until_they_are_done_again() -> None:
    good, lost = Tally(), Tally()
    for row in pair(0, 0.9, 0.1):
        good.add(row)
    again = pair(1, 0.9, 0.1)
    for row in again:
        lost.add(replace(row, prediction=None, scores={}, error="missing_media"))

    first = score(lost + good)
    for row in again:
        good.add(row)
    redone = score(lost + good)

    assert first is not None and redone is not None
    before, after = first.groups["mrb_individual"], redone.groups["mrb_individual"]
    assert (before.scored, before.unscored) == (1, 1)
    assert (after.scored, after.unscored) == (2, 0)


def test_beyond_a_limit_whole_pairs_are_no_longer_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(groups, "MAX_WHOLE", 10)
    tally = Tally()
    for number in range(200):
        for row in pair(number, 0.9, 0.1 if number % 4 else 0.95):
            tally.add(row)

    assert len(tally.groups["mrb_individual"].open) <= 10
    scores = score(tally)
    assert scores is not None and scores.groups["mrb_individual"].scored == 200
    assert scores.groups["mrb_individual"].rates["pairs"].rate == 0.75


def test_rows_without_scores_leave_their_pair_unscored() -> None:
    first, second = pair(0, 0.9, 0.1)
    bare = Scored(1, "preferred", second.label, format="mrb_individual", group="q0")
    found = scored([first, bare])
    assert (found.scored, found.unscored) == (0, 1)


@pytest.mark.parametrize("file", ["sugarcrepe_swap_obj.jsonl", "mrb_individual_vqa.json"])
def test_rows_of_the_published_files_form_pairs_that_show_the_same(file: str) -> None:
    format = "sugarcrepe" if "sugar" in file else "mrb_individual"
    rows = [
        Scored(
            sample.index,
            prediction=sample.label,
            label=sample.label,
            scores={str(sample.label): 1.0},
            format=format,
            group=sample.group,
            split=sample.split,
            media=sample.media,
        )
        for sample in published(file)
    ]
    found = scored(rows)
    assert (found.scored, found.unscored, found.unlike) == (2, 0, 0)
    assert found.rates["pairs"].rate == 1

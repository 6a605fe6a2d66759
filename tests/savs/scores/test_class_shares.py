"""Shares of classes from the probabilities of rows, which need no labels."""

import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from savs.scores import class_shares as module
from savs.scores.class_shares import Probabilities, class_shares
from savs.scores.metrics import Tally
from savs.scores.scored import Scored

Row = dict[str, float]
ROWS = st.lists(st.dictionaries(st.sampled_from("abcdef"), st.floats(0, 1), max_size=3), max_size=20)


def sums_of(rows: list[Row]) -> Probabilities:
    found = Probabilities()
    for row in rows:
        found.add(row)
    return found


def test_shares_of_an_example_that_was_worked_out_by_hand() -> None:
    found = class_shares(sums_of([{"cat": 0.8, "dog": 0.2}, {"cat": 0.5, "dog": 0.5}, {"cat": 1.0}]))

    half = 1.96 * (0.16 + 0.25) ** 0.5 / 3
    assert list(found) == ["cat", "dog"]
    assert (found["cat"].rows, found["cat"].rate) == (3, pytest.approx(2.3 / 3))
    assert found["cat"].interval == (pytest.approx(2.3 / 3 - half, abs=1e-4), 1.0)
    assert found["dog"].rate == pytest.approx(0.7 / 3)
    assert found["dog"].interval == (0.0, pytest.approx(0.7 / 3 + half, abs=1e-4))


def test_rows_that_are_certain_leave_no_uncertainty() -> None:
    [cat] = class_shares(sums_of([{"cat": 1.0}] * 3)).values()
    assert (cat.rate, cat.interval) == (1.0, (1.0, 1.0))


def test_an_interval_holds_the_true_share_if_the_probabilities_are_right() -> None:
    # given corpora of 200 rows whose labels are drawn with the rows' own probabilities
    rng, held = random.Random(5), 0
    for _ in range(400):
        rows = [rng.betavariate(0.5, 1) for _ in range(200)]
        true = sum(rng.random() < p for p in rows) / len(rows)
        low, high = class_shares(sums_of([{"cat": p, "dog": 1 - p} for p in rows]))["cat"].interval
        held += low <= true <= high
    assert held / 400 == pytest.approx(0.95, abs=0.03)


@given(ROWS, st.integers(1, 5), st.randoms(use_true_random=False), st.sampled_from([4, 1000]))
def test_shares_do_not_depend_on_shards_or_their_order(
    rows: list[Row], shards: int, rng: random.Random, most: int
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "MAX_CLASSES", most)
        parts = [sums_of(rows[start::shards]) for start in range(shards)]
        rng.shuffle(parts)
        sums = Probabilities()
        for part in parts:
            sums.update(part)

        assert sums == sums_of(rows)
        assert class_shares(sums) == class_shares(sums_of(rows))
        classes = {name for row in rows for name, p in row.items() if round(1e6 * p)}
        assert sums.too_many == (len(classes) > most)
        assert class_shares(sums).keys() == (classes if len(classes) <= most else set())


def test_rows_with_votes_alone_and_rows_that_failed_have_no_part_and_rows_that_abstained_do() -> None:
    def tally_of(*rows: dict[str, Any]) -> Probabilities:
        tally = Tally()
        for index, row in enumerate(rows):
            tally.add(Scored(index, scores={"cat": 0.75, "dog": 0.25}, **row))
        return tally.probabilities

    assert tally_of({"prediction": "cat"}, {"error": "bad_row", "probabilistic": True}) == Probabilities()
    both = tally_of({"prediction": "cat", "probabilistic": True}, {"probabilistic": True})
    assert (both.rows, both.sums) == (2, {"cat": 1_500_000, "dog": 500_000})

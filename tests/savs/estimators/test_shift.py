"""Whether examples look like the corpus."""

import numpy as np
import pytest

from savs.estimators.shift import UNLIKE, difference
from tests.savs.estimators.drawn import SPANS, numbers_of, rows_of


@pytest.mark.parametrize("n", [15, 60, 300])
def test_rows_of_one_source_cannot_be_told_apart(n: int) -> None:
    found = [
        difference(rows_of(numbers_of(n), seed), rows_of(numbers_of(300), seed + 100), SPANS)
        for seed in range(10)
    ]
    assert abs(np.mean(found)) < 0.05
    assert max(found) < UNLIKE


@pytest.mark.parametrize("n", [15, 60, 300])
def test_rows_of_two_sources_are_told_apart(n: int) -> None:
    for seed in range(3):
        there = rows_of(numbers_of(300), seed + 100, shift=3.0)
        assert difference(rows_of(numbers_of(n), seed), there, SPANS) > 0.8 > UNLIKE


def test_the_larger_the_shift_the_larger_the_difference() -> None:
    here = rows_of(numbers_of(100))
    found = [
        difference(here, rows_of(numbers_of(300), 1, shift=shift), SPANS) for shift in (0.0, 0.3, 1.0, 4.0)
    ]
    assert found == sorted(found) and found[-1] <= 1


def test_the_sides_are_alike() -> None:
    one, other = rows_of(numbers_of(40)), rows_of(numbers_of(100), 1, shift=0.7)

    assert difference(one, other, SPANS) == pytest.approx(difference(other, one, SPANS), abs=1e-6)

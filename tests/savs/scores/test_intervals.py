"""Intervals of rates: Wilson's, and wider where rows come in clusters."""

import random
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from savs.scores.intervals import clustered, effective_rows, rate_of, student, wilson


@pytest.mark.parametrize(
    ("hits", "rows", "low", "high"),
    # values of the formula worked out by hand, to four places
    [
        (8, 10, 0.4902, 0.9433),
        (0, 10, 0.0, 0.2775),
        (10, 10, 0.7225, 1.0),
        (1, 1, 0.2065, 1.0),
        (255, 300, 0.8052, 0.886),
    ],
)
def test_an_interval_is_wilsons(hits: int, rows: int, low: float, high: float) -> None:
    assert wilson(hits, rows) == pytest.approx((low, high), abs=1e-4)


@given(st.integers(1, 10**6).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_an_interval_holds_its_rate_and_stays_a_rate(rate: tuple[int, int]) -> None:
    low, high = wilson(*rate)
    assert 0 <= low <= rate[0] / rate[1] <= high <= 1 and low < high


@pytest.mark.parametrize(
    ("freedom", "beyond"),
    # of printed tables
    [(1, 12.7062), (2, 4.3027), (4, 2.7764), (5, 2.5706), (10, 2.2281), (30, 2.0423), (120, 1.9799)],
)
def test_students_t_is_that_of_the_tables(freedom: int, beyond: float) -> None:
    assert student(freedom) == pytest.approx(beyond, abs=0.003)


@given(st.integers(0, 60), st.integers(0, 60))
def test_rows_that_share_nothing_have_wilsons_interval(hits: int, misses: int) -> None:
    if hits + misses:
        found = rate_of(Counter({(1, 1): hits, (1, 0): misses}))
        assert found.interval == wilson(hits, hits + misses)
        assert (found.rows, found.rate) == (hits + misses, hits / (hits + misses))


def test_copies_of_rows_add_nothing() -> None:
    # given 200 clusters, each of five rows that say the same
    copied = effective_rows(Counter({(5, 5): 120, (5, 0): 80}))

    # then they tell what 200 rows would, but for not knowing that they say the same
    assert copied == pytest.approx(200, rel=0.02)
    assert clustered(Counter({(5, 5): 120, (5, 0): 80})) == pytest.approx(wilson(120, 200), abs=0.002)


def test_where_all_rows_are_right_clusters_count_and_not_rows() -> None:
    assert clustered(Counter({(50, 50): 10})) == wilson(10, 10)
    assert clustered(Counter({(50, 0): 10})) == wilson(0, 10)
    # clusters of other sizes: n² / Σn²
    assert effective_rows(Counter({(1, 1): 6, (4, 4): 1})) == pytest.approx(100 / 22)


def test_few_clusters_say_little_of_their_own_scatter() -> None:
    # given 2, 1 and 0 of 2 rows right: a variance of 3/2 · 2/36, of which 3 rows would have as much, but
    # estimated with 2 degrees of freedom and not with 5
    assert effective_rows({(2, 2): 1, (2, 1): 1, (2, 0): 1}) == pytest.approx(
        3 * (2.5706 / 4.3027) ** 2, rel=0.01
    )


def test_rows_of_one_cluster_are_one_row() -> None:
    assert effective_rows(Counter({(40, 30): 1})) == 1


def test_clusters_that_seem_more_alike_than_chance_make_no_interval_narrower() -> None:
    # given a model that says Yes to everything, and so is right in just two of four rows of each group
    assert clustered(Counter({(4, 2): 25})) == wilson(50, 100)


@given(
    st.dictionaries(
        st.integers(1, 9).flatmap(lambda n: st.tuples(st.just(n), st.integers(0, n))),
        st.integers(1, 50),
        min_size=1,
    )
)
def test_a_clustered_interval_holds_its_rate_and_is_never_narrower(sizes: dict[tuple[int, int], int]) -> None:
    rows = sum(n * count for (n, _), count in sizes.items())
    hits = sum(h * count for (_, h), count in sizes.items())

    low, high = clustered(sizes)

    assert 0 <= low <= hits / rows <= high <= 1
    plain = wilson(hits, rows)
    assert high - low >= plain[1] - plain[0] - 1e-12


def test_nineteen_of_twenty_intervals_hold_the_true_rate() -> None:
    # given groups of four rows that are right together, since the group is easy or hard (a beta
    # distribution of its own rate, intraclass correlation 0.5)
    rng, true, trials = random.Random(7), 0.8, 1000

    def sizes() -> Counter[tuple[int, int]]:
        rates = (rng.betavariate(true, 1 - true) for _ in range(40))
        return Counter((4, sum(rng.random() < rate for _ in range(4))) for rate in rates)

    held = plain = 0
    for found in (sizes() for _ in range(trials)):
        low, high = clustered(found)
        held += low <= true <= high
        low, high = wilson(sum(h * count for (_, h), count in found.items()), 160)
        plain += low <= true <= high

    # then the clustered interval is what it says, and the plain one is far from it
    assert held / trials == pytest.approx(0.95, abs=0.02)
    assert plain / trials < 0.85

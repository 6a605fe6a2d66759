"""Scores of shards are those of all rows at once, however the rows were cut, added and done again."""

import random
from dataclasses import asdict
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from savs.scores import clusters
from savs.scores.metrics import Tally, score, total
from savs.scores.scored import Scored
from tests.savs.scores import slow
from tests.savs.scores.manifests import manifests

Rows = list[tuple[Scored, Scored | None]]

# A manifest is many draws, which is slow on a busy machine and not a fault.
unhurried = settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def tally_of(rows: list[Scored]) -> Tally:
    tally = Tally()
    for row in rows:
        tally.add(row)
    return tally


def redo(tally: Tally, again: Tally, failed: list[Scored]) -> Tally:
    """As the reducer does it: what was counted for the rows before were errors alone."""
    sums = tally + again
    sums.errors.subtract(str(row.error) for row in failed)
    return sums


def cut(rows: list[Scored], size: int, rng: random.Random) -> Tally:
    """Counted in shards of that many rows, which are added in any order and in any grouping."""
    parts = [tally_of(rows[i : i + size]) for i in range(0, len(rows), size)]
    rng.shuffle(parts)
    while len(parts) > 1:
        one, other = parts.pop(rng.randrange(len(parts))), parts.pop(rng.randrange(len(parts)))
        parts.append(one + other)
    return total(parts)


def check_any_cut(rows: Rows, size: int, rng: random.Random) -> None:
    whole = tally_of([row for row, _ in rows])
    first = cut([before or row for row, before in rows], size, rng)
    again = cut([row for row, before in rows if before], size, rng)

    sums = redo(first, again, [before for _, before in rows if before])

    assert sums == whole
    assert score(sums) == score(whole)


@unhurried
@given(manifests(), st.integers(1, 9), st.randoms(use_true_random=False))
def test_any_cut_and_any_order_give_the_same_scores(rows: Rows, size: int, rng: random.Random) -> None:
    check_any_cut(rows, size, rng)


@unhurried
@given(manifests(), st.integers(1, 9), st.randoms(use_true_random=False))
def test_so_they_do_where_clusters_are_folded(rows: Rows, size: int, rng: random.Random) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(clusters, "MAX_EXACT", 6)
        patch.setattr(clusters, "BUCKETS", 2)
        check_any_cut(rows, size, rng)


@unhurried
@given(manifests())
def test_scores_are_those_that_are_computed_from_all_rows(manifest: Rows) -> None:
    everything = [row for row, _ in manifest]
    rows = slow.usable(everything)
    scores = score(tally_of(everything))
    if not rows:
        assert scores is None
        return

    assert scores is not None
    accuracy = slow.rate_of_rows(rows)
    assert (scores.rows, scores.accuracy) == (accuracy["rows"], accuracy["rate"])
    assert rounded(scores.accuracy_interval) == rounded(accuracy["interval"])
    expected = slow.classes(rows)
    assert rounded({name: asdict(one) for name, one in scores.classes.items()}) == rounded(expected)
    precisions = [one["average_precision"] for one in expected.values()]
    known = [one for one in precisions if one is not None]
    assert scores.mean_average_precision == (pytest.approx(sum(known) / len(known)) if known else None)
    recalls = [one["recall"] for one in expected.values() if one["recall"] is not None]
    assert scores.balanced_accuracy == pytest.approx(sum(recalls) / len(recalls))
    splits = {str(row.split) for row in rows if row.split is not None}
    assert rounded({name: asdict(rate) for name, rate in scores.splits.items()}) == rounded(
        {split: slow.rate_of_rows([row for row in rows if row.split == split]) for split in splits}
    )
    found = [{k: v for k, v in asdict(one).items() if k != "unlike"} for one in scores.groups.values()]
    groups = slow.scores_of_groups(rows, everything)
    assert rounded(found) == rounded([groups] if groups else [])


def rounded(value: Any) -> Any:
    """`value` with its fractions to nine digits, so that two ways to the same number agree."""
    if isinstance(value, float):
        return round(value, 9)
    if isinstance(value, dict):
        return {key: rounded(one) for key, one in value.items()}
    return [rounded(one) for one in value] if isinstance(value, list | tuple) else value

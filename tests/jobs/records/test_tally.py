"""Tallies in commits: nothing is lost on the way, and what contradicts itself is refused."""

import json
import random
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from pydantic import ValidationError

from jobs.records.tallies.tally import TallyRecord
from savs.scores import clusters
from savs.scores.class_shares import Probabilities, class_shares
from savs.scores.metrics import Tally, score
from savs.scores.scored import Scored
from tests.jobs.cli.mutating import mutate
from tests.savs.scores.manifests import manifests
from tests.savs.scores.test_scores import tally_of, unhurried

MUTATIONS = 400


def through_json(tally: Tally) -> Tally:
    return TallyRecord.model_validate_json(TallyRecord.of(tally).model_dump_json()).tally()


@unhurried
@given(manifests())
def test_a_tally_survives_its_way_through_json(rows: list[tuple[Scored, Scored | None]]) -> None:
    tally = tally_of([before or row for row, before in rows])
    assert through_json(tally) == tally
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(clusters, "MAX_EXACT", 3)
        folded = tally_of([row for row, _ in rows])
        assert through_json(folded) == folded


def some(format: str) -> Tally:
    """Rows with a whole group, an open one, and two that show the same."""
    rows = [
        Scored(
            index=index,
            prediction="preferred" if index % 3 else "non-preferred",
            label="preferred" if index % 2 else "non-preferred",
            scores={"preferred": index / 10, "non-preferred": 1 - index / 10},
            format=format,
            group=f"q{index // 2}",
            split="vqa",
            media=(f"{index // 4}.jpg",) if index else (),
            confidence=max(index, 10 - index) / 10,
            probabilistic=True,
        )
        for index in range(9)
    ]
    return tally_of([*rows, Scored(9, error="missing_media", format=format)])


@pytest.mark.parametrize("format", ["natural_ret", "mrb_individual"])
def test_damaged_tallies_are_refused_or_can_be_scored(format: str) -> None:
    rng, whole, refused = random.Random(2), TallyRecord.of(some(format)).model_dump_json().encode(), 0
    for number in range(MUTATIONS):
        data = mutate(whole, rng)
        try:
            tally = TallyRecord.model_validate_json(data).tally()
        except ValidationError:
            refused += 1
            continue
        try:
            score(tally)
            score(tally + some(format))
        except Exception as error:
            raise AssertionError(f"mutation {number}: {data!r}") from error
    assert MUTATIONS / 3 < refused < MUTATIONS


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"confusion": []}, "its clusters have more rows than its confusion"),
        ({"ranking": {"labels": {"preferred": 1}, "scored": {"preferred": [[500, 2, 0]]}}}, "more scores"),
        ({"groups": {"coco": {}}}, "the rows of 'coco' do not form groups"),
        ({"groups": {"mrb_individual": {"open": {"q": {"best": None}}}}}, "has an unknown role"),
        ({"groups": {"sugarcrepe": {"numbers": [3, 1]}}}, "comes after the last"),
        (
            {"groups": {"sugarcrepe": {"closed": {"cells": [{"outcome": [2]}]}}}},
            r"cannot have the outcome \(2,\)",
        ),
        ({"confidences": {"levels": [[500, 2, 3]]}}, "3 of 2 rows of one confidence are right"),
        ({"confidences": {"levels": [[500, 2, 1], [500, 1, 0]]}}, "its confidences do not ascend"),
        ({"confidences": {"levels": [[1001, 1, 0]]}}, "less than or equal to 1000"),
        ({"probabilities": {"rows": 2, "classes": {"a": [2_000_001, 0]}}}, "cannot have these prob"),
        ({"probabilities": {"rows": 2, "classes": {"a": [1_000_000, 500_003]}}}, "cannot have these prob"),
        ({"probabilities": {"rows": 1, "classes": {"a": [700_000, 0], "b": [302_000, 0]}}}, "more than 1"),
        ({"probabilities": {"classes": {"a": [1, 0]}}}, "more than 1"),
        ({"probabilities": {"rows": 1, "classes": {"a": [1, 0]}, "too_many": True}}, "there are too many"),
        (
            {"probabilities": {"rows": 1001, "classes": {str(n): [1, 0] for n in range(1001)}}},
            "at most 1000 items",
        ),
    ],
)
def test_a_tally_that_contradicts_itself_is_refused(change: dict[str, Any], reason: str) -> None:
    data = json.loads(TallyRecord.of(some("mrb_individual")).model_dump_json()) | change
    with pytest.raises(ValidationError, match=reason):
        TallyRecord.model_validate_json(json.dumps(data))


def test_a_tally_of_before_there_were_clusters_has_the_intervals_of_independent_rows() -> None:
    old = {"predicted": {"a": 3}, "confusion": [["a", "a", 2], ["b", "a", 1]]}
    found = score(TallyRecord.model_validate(old).tally())
    new = score(tally_of([Scored(0, "a", "a"), Scored(1, "a", "a"), Scored(2, "a", "b")]))
    assert found == new


def test_a_tally_of_before_there_were_counts_of_confidence_has_no_scores_of_it() -> None:
    data = json.loads(TallyRecord.of(some("natural_ret")).model_dump_json())
    new = TallyRecord.model_validate(data).tally()
    old = TallyRecord.model_validate(
        {name: part for name, part in data.items() if name not in ("confidences", "probabilities")}
    ).tally()

    before, after = score(old), score(new)

    assert before is not None and after is not None and after.calibration is not None
    assert before == replace(after, calibration=None)
    assert class_shares(old.probabilities) == {} and set(class_shares(new.probabilities)) == {
        "preferred",
        "non-preferred",
    }


def test_that_classes_were_too_many_survives_its_way_through_json() -> None:
    tally = Tally()
    tally.add(Scored(0, scores={str(n): 1 / 1001 for n in range(1001)}, probabilistic=True))
    assert tally.probabilities == Probabilities(rows=1, too_many=True)
    assert through_json(tally) == tally

"""What a report finds in rows, without drawing it."""

import random
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cleanlab.filter import find_label_issues
from PIL import Image

from jobs.records.outcome import Outcome, Ran
from jobs.report import thumbnails
from jobs.report.gallery import MISTAKES, ROWS, Gallery
from jobs.report.heads import map_heads
from jobs.report.survey import Survey
from jobs.report.thumbnails import draw_pictures
from jobs.report.timeline import timeline_of
from jobs.report.wrong_labels import Thresholds, find_wrong_labels

CLASSES = ("a", "b", "c")
NOON = datetime(2030, 1, 7, 12, tzinfo=UTC)


def row(index: int, scores: dict[str, float], label: str | None = None, **more: Any) -> dict[str, Any]:
    best, second = sorted(scores.values(), reverse=True)[:2]
    found = {
        "index": index,
        "id": str(index),
        "prediction": max(scores, key=scores.__getitem__),
        "confidence": best,
        "margin": best - second,
        "scores": scores,
    }
    return found | ({} if label is None else {"label": label}) | more


def drawn_rows(count: int, seed: int = 0, noise: float = 0.2) -> list[dict[str, Any]]:
    """Rows whose probabilities mostly favour their label."""
    draw = random.Random(seed)
    rows = []
    for index in range(count):
        label = draw.choice(CLASSES)
        true = draw.choice(CLASSES) if draw.random() < noise else label
        weights = {name: draw.random() + 1.5 * (name == true) for name in CLASSES}
        whole = sum(weights.values())
        rows.append(row(index, {name: round(w / whole, 6) for name, w in weights.items()}, label))
    return rows


# Survey


def survey(rows: list[dict[str, Any]]) -> Survey:
    found = Survey()
    for one in rows:
        found.add(one)
    return found


def test_a_curve_is_precision_and_recall_at_each_score() -> None:
    found = survey(
        [
            row(0, {"a": 0.9, "b": 0.1}, "a"),
            row(1, {"a": 0.8, "b": 0.2}, "b"),
            row(2, {"a": 0.3, "b": 0.7}, "a"),
        ]
    )

    points = [(p.score, p.precision, p.recall) for p in found.curves()["a"]]
    assert points == [(0.9, 1.0, 0.5), (0.8, 0.5, 0.5), (0.3, pytest.approx(2 / 3), 1.0)]


def test_rows_without_labels_have_a_histogram_and_no_curve() -> None:
    found = survey([row(0, {"a": 0.9, "b": 0.1}), row(1, {"a": 1.0, "b": 0.0})])

    assert found.curves() == {}
    assert found.confidences == {(18, "not known"): 1, (19, "not known"): 1}


def test_the_threshold_in_force_is_the_lowest_confidence_of_a_row_with_a_prediction() -> None:
    found = survey([row(0, {"a": 0.6, "b": 0.4}), row(1, {"a": 0.51, "b": 0.49}, prediction=None)])

    assert found.least == 0.6


# Wrong labels


@pytest.mark.parametrize("seed", range(6))
def test_likely_wrong_labels_are_those_of_cleanlab_in_its_order(seed: int) -> None:
    rows = drawn_rows(400, seed)
    thresholds = Thresholds()
    for one in rows:
        thresholds.add(one)

    found = find_wrong_labels(rows, thresholds.of_classes(), 1000)

    want = find_label_issues(
        np.array([CLASSES.index(one["label"]) for one in rows]),
        np.array([[one["scores"][name] for name in CLASSES] for one in rows]),
        filter_by="confident_learning",
        return_indices_ranked_by="self_confidence",
    )
    assert found.count > 10
    assert {one["index"] for one in found.first} == set(want.tolist())
    assert [one["scores"][one["label"]] for one in found.first] == [
        rows[n]["scores"][rows[n]["label"]] for n in want
    ]


def test_only_the_least_probable_labels_are_kept_but_all_are_counted() -> None:
    rows = drawn_rows(400)
    thresholds = Thresholds()
    for one in rows:
        thresholds.add(one)
    every = find_wrong_labels(rows, thresholds.of_classes(), 1000)

    some = find_wrong_labels(rows, thresholds.of_classes(), 5)

    assert some.count == every.count
    assert some.first == every.first[:5]


# Gallery


def gallery_of(rows: list[dict[str, Any]]) -> Gallery:
    found = Gallery(Counter(row["prediction"] for row in rows if "prediction" in row))
    for one in rows:
        found.add(one)
    return found


def test_the_gallery_shows_doubtful_rows_and_a_draw_of_each_class_the_doubtful_first() -> None:
    rows = drawn_rows(5000)

    chosen = gallery_of(rows).rows()

    doubts = [1 - one.row["margin"] for one in chosen]
    assert doubts == sorted(doubts, reverse=True)
    shown = [one for one in chosen if one.why != "mistake"]
    assert len(shown) == ROWS
    for name in CLASSES:
        own = [one for one in shown if one.row["prediction"] == name]
        assert abs(len(own) - ROWS // 3) <= 2
        assert {"doubtful", "drawn"} == {one.why for one in own}
        most = min((r for r in rows if r["prediction"] == name), key=lambda r: r["margin"])
        assert most["index"] in [one.row["index"] for one in own]


def test_the_most_confident_mistakes_are_shown() -> None:
    rows = drawn_rows(5000)

    shown = {one.row["index"] for one in gallery_of(rows).rows()}

    wrong = sorted((r for r in rows if r["prediction"] != r["label"]), key=lambda r: -r["margin"])
    assert {one["index"] for one in wrong[:MISTAKES]} <= shown


def test_the_gallery_does_not_depend_on_the_order_of_rows() -> None:
    rows = drawn_rows(2000)

    assert gallery_of(rows).rows() == gallery_of(rows[::-1]).rows()


def test_errors_come_last_and_once() -> None:
    failed = [
        {"index": 9000 + n, "id": "x", "error": {"kind": "missing_media", "message": "gone"}}
        for n in range(2)
    ]

    chosen = gallery_of([*failed, *drawn_rows(10)]).rows()

    assert [one.why for one in chosen[-2:]] == ["error", "error"]
    assert len(chosen) == 12


def test_a_thousand_classes_do_not_fill_the_gallery() -> None:
    rows = [row(n, {f"class {n % 1000}": 0.9, "other": 0.1}) for n in range(5000)]

    assert len(gallery_of(rows).rows()) == ROWS


# Thumbnails


def test_pictures_are_small_jpegs_and_what_cannot_be_opened_has_a_reason(tmp_path: Path) -> None:
    Image.new("RGB", (4000, 1000), "red").save(tmp_path / "wide.png")
    (tmp_path / "broken.png").write_bytes(b"no image")

    [[wide], [broken, missing]] = draw_pictures(
        [[str(tmp_path / "wide.png")], [str(tmp_path / "broken.png"), str(tmp_path / "gone.png")]], 10**6
    )

    assert wide.pictures[0].startswith("data:image/jpeg;base64,")
    assert wide.size < 5000
    assert broken.reason and "gone.png does not exist" in str(missing.reason)


def test_a_full_page_says_so(tmp_path: Path) -> None:
    Image.new("RGB", (50, 50)).save(tmp_path / "a.png")

    [[one]] = draw_pictures([[str(tmp_path / "a.png")]], 10**6)

    pictures = draw_pictures([[str(tmp_path / "a.png")]] * 3, one.size + 1)

    assert [one[0].reason for one in pictures] == [None, thumbnails.FULL, thumbnails.FULL]


# Timeline


def outcome(worker: str, began: float, ended: float) -> Outcome:
    ran = Ran(worker=worker, began=NOON + timedelta(seconds=began), ended=NOON + timedelta(seconds=ended))
    return Outcome(shard=0, status="done", attempt="a", ran=ran)


def test_shards_one_after_another_are_one_busy_time_and_a_pause_divides_them() -> None:
    outcomes = [
        outcome("a:1", 0, 100),
        outcome("a:1", 100.1, 200),
        outcome("a:1", 600, 1000),
        outcome("b:2", 5, 9),
    ]

    found = [
        (one.worker, (one.ended - one.began).total_seconds(), one.shards) for one in timeline_of(outcomes)
    ]

    assert found == [("a:1", 200, 2), ("a:1", 400, 1), ("b:2", 4, 1)]


def test_shards_of_an_earlier_savs_are_left_out() -> None:
    assert timeline_of([Outcome(shard=0, status="done", attempt="a")]) == []


# Heads


def test_a_heads_score_is_the_diagonal_of_its_confusions(strokes: Any) -> None:
    found = map_heads(strokes)

    assert len(found.heads) == len(strokes.manifest.scores)
    for one in found.heads:
        assert sum(count for label, named, count in one.pairs if label == named) == one.score
        assert sum(count for _, _, count in one.pairs) == found.examples
    ranks = [one.rank for one in found.heads if one.rank is not None]
    assert sorted(ranks) == list(range(1, len(strokes.readout.heads) + 1))

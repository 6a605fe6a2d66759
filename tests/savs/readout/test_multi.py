"""Readouts with several labels per item: fitting, answers, scores, files and artifacts."""

import json
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import load, save

import savs
from savs.artifact.artifact import Artifact, load_artifact, make_artifact, save_artifact
from savs.engine.vectors import HeadVectors
from savs.errors import ArtifactError, ArtifactMismatch, ArtifactNotFound, FitError, SettingsError
from savs.readout.choice import fit_readout
from savs.readout.linear import LinearReadout
from savs.readout.multi import MultiReadout, multi_of
from tests.savs.readout.test_artifact import ONE_WIDTH, TWO_WIDTHS, Sizes, make, vectors_of

LISTS = [("größer", "old"), ("smaller",), ("old",), ()] * 3


def fitted(sizes: Sizes = TWO_WIDTHS, heads: int | None = None) -> MultiReadout:
    """A readout of random vectors, made so certain that their labels differ."""
    found = savs.fit(vectors_of(sizes), LISTS, heads=heads)
    plain = replace(found, slopes=np.ones(3, np.float32), offsets=np.zeros(3, np.float32))
    shares = plain.scores(vectors_of(sizes, rows=30, seed=2))
    scores = np.log(shares / (1 - shares))
    slopes = 2 / scores.std(axis=0)
    offsets = -slopes * scores.mean(axis=0)
    return replace(found, slopes=slopes.astype(np.float32), offsets=offsets.astype(np.float32))


def by_hand(readout: MultiReadout, vectors: HeadVectors) -> np.ndarray:
    """The probabilities as the docstring of `MultiReadout` defines them, head by head."""
    places = vectors.layout.slices()
    scores = np.tile(readout.intercept.astype(float), (len(vectors), 1))
    start = 0
    for layer, head in readout.heads.tolist():
        own = vectors.values[:, places[layer, head]].astype(float)
        stop = start + own.shape[1]
        scores += own / np.linalg.norm(own, axis=1, keepdims=True) @ readout.weights[start:stop]
        start = stop
    return 1 / (1 + np.exp(-(readout.slopes * scores + readout.offsets)))


@pytest.mark.parametrize("sizes", [ONE_WIDTH, TWO_WIDTHS])
@pytest.mark.parametrize("heads", [None, 1, 3])
def test_probabilities_are_those_of_its_definition(sizes: Sizes, heads: int | None) -> None:
    readout = fitted(sizes, heads)
    corpus = vectors_of(sizes, rows=30, seed=1)

    found = readout.scores(corpus)

    assert len(readout.heads) == heads or heads is None
    assert readout.classes == ("größer", "old", "smaller") and readout.mode == "multi"
    assert found.dtype == np.float64 and np.allclose(found, by_hand(readout, corpus), atol=1e-3)


def test_vectors_of_its_own_heads_are_enough() -> None:
    # as `--keep-vectors heads` stores them
    readout, corpus = fitted(heads=2), vectors_of(TWO_WIDTHS, rows=30, seed=1)
    kept = corpus.part(readout.layout.part({(int(layer), int(head)) for layer, head in readout.heads}))

    assert np.allclose(readout.scores(kept), readout.scores(corpus))


def test_an_answer_has_the_labels_that_reach_their_threshold_the_most_probable_first() -> None:
    readout = replace(fitted(), thresholds=np.array([0.3, 0.6, 0.1], np.float32))
    corpus = vectors_of(TWO_WIDTHS, rows=60, seed=1)

    answers = savs.classify(readout, corpus)

    numbers = set()
    for answer, row in zip(answers, readout.scores(corpus), strict=True):
        assert answer.scores == dict(zip(readout.classes, row.tolist(), strict=True))
        assert list(answer.scores.values()) == sorted(row.tolist(), reverse=True)
        want = {name for name, p, t in zip(readout.classes, row, (0.3, 0.6, 0.1), strict=True) if p >= t}
        assert set(answer.predictions) == want
        assert list(answer.predictions) == [name for name in answer.scores if name in want]
        numbers.add(len(want))
    assert len(numbers) > 1, "all rows have as many labels"


def test_answers_are_scored_against_lists_texts_and_none() -> None:
    vectors = vectors_of(TWO_WIDTHS)
    answers = savs.classify(fitted(), vectors)

    found = savs.score([*LISTS[:-2], "old", None], answers)

    assert isinstance(found, savs.MultiScores) and found.rows == 11
    want = [set(a.predictions) == set(own) for a, own in zip(answers, [*LISTS[:-2], ("old",)], strict=False)]
    assert found.exact_match == pytest.approx(np.mean(want))
    assert set(found.labels) <= {"größer", "old", "smaller"}
    with pytest.raises(SettingsError, match="label 0 is of type int; pass texts, or None"):
        savs.score([3, *LISTS[1:]], answers)  # type: ignore[list-item]


@pytest.mark.parametrize("mode", ["reference", "corpus"])
def test_a_readout_of_one_label_per_item_says_what_to_do_with_lists(mode: Any) -> None:
    with pytest.raises(FitError, match=f"{mode}' gives each item one label; use 'auto' or 'ridge'"):
        savs.fit(vectors_of(TWO_WIDTHS), LISTS, mode=mode)


@pytest.mark.parametrize(
    ("labels", "why"),
    [
        ([*LISTS[:-1], "old"], "label 11 is of type str and others are lists; pass a list for each row"),
        ([*LISTS[:-1], None], "label 11 is None and others are lists"),
        ([*LISTS[:-1], ("old", "old")], "label 11 is a list that has a label twice"),
        ([*LISTS[:-1], ("old", 3)], "label 11 is a list, in which label 1 is 3, of type int, not text"),
        ([*LISTS[:-1]], "12 vectors and 11 labels"),
        ([("old",)] * 11 + [()], "at least two labels are needed; found \\['old'\\]"),
        ([tuple(map(str, range(990))), tuple(map(str, range(500, 1001)))] * 6, "1001 labels; at most 1000"),
        ([()] * 12, "at least two labels are needed; found none"),
        ([("old", "a")] * 11 + [("old",)], "every example has the label 'old'; add examples without it"),
    ],
)
def test_lists_that_cannot_be_fitted_say_why(labels: Any, why: str) -> None:
    with pytest.raises(FitError, match=why):
        savs.fit(vectors_of(TWO_WIDTHS), labels)


def test_a_class_without_examples_and_an_unknown_one_are_named() -> None:
    with pytest.raises(FitError, match="no example has the label 'new'"):
        savs.fit(vectors_of(TWO_WIDTHS), LISTS, classes=["größer", "old", "smaller", "new"])
    with pytest.raises(FitError, match="labels that are not classes: 'smaller'"):
        savs.fit(vectors_of(TWO_WIDTHS), LISTS, classes=["größer", "old"])


def test_vectors_that_are_not_numbers_are_refused() -> None:
    broken = vectors_of(TWO_WIDTHS)
    broken.values[3, 0] = np.nan

    with pytest.raises(FitError, match="NaN or infinity in 1 rows; the first is row 3"):
        savs.fit(broken, LISTS)
    with pytest.raises(FitError, match="cannot be classified"):
        fitted().scores(broken)
    with pytest.raises(ArtifactMismatch):
        fitted().scores(vectors_of(ONE_WIDTH))


def test_an_example_that_others_contradict_is_a_suspect_with_the_label_that_is_doubtful() -> None:
    # given rows of four kinds, of which one was given a label that its kind does not have
    rng = np.random.default_rng(0)
    kinds = np.arange(40) % 4
    vectors = vectors_of(TWO_WIDTHS, rows=40)
    centres = rng.normal(size=(4, vectors.values.shape[1]))
    vectors = replace(
        vectors, values=(centres[kinds] + 0.2 * rng.normal(size=vectors.values.shape)).astype(np.float32)
    )
    labels: list[tuple[str, ...]] = [LISTS[kind] for kind in kinds]
    labels[7], labels[8] = ("smaller",), ("größer",)

    found = fit_readout(vectors, labels)

    first = {one.row: one for one in found.suspects[:2]}
    assert set(first) == {7, 8}
    assert (first[7].label, first[7].likelier) == (("smaller",), ())
    assert (first[8].label, first[8].likelier) == (("größer",), ("größer", "old"))
    assert 0.5 < first[7].probability <= 1
    [score] = found.choice.table
    assert score.accuracy > 0.8 and score.average_precision is not None and score.average_precision > 0.8


@pytest.fixture(params=["disk", "s3"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return str(tmp_path) if request.param == "disk" else f"s3://{request.getfixturevalue('bucket')}/readouts"


def test_what_is_saved_comes_back(place: str) -> None:
    readout, corpus = fitted(heads=2), vectors_of(TWO_WIDTHS, rows=30, seed=1)

    readout.save(f"{place}/several")
    back = MultiReadout.load(f"{place}/several")

    assert savs.classify(back, corpus) == savs.classify(readout, corpus)
    assert (back.classes, back.layout) == (readout.classes, readout.layout)
    with pytest.raises(ArtifactError, match="is not a linear readout"):
        LinearReadout.load(f"{place}/several")
    with pytest.raises(ArtifactNotFound, match="no readout at"):
        MultiReadout.load(f"{place}/other")


def artifact(sizes: Sizes = TWO_WIDTHS) -> Artifact:
    plain, found = make(sizes).manifest, fit_readout(vectors_of(sizes), LISTS)
    training = [row.model_copy(update={"label": own}) for row, own in zip(plain.training, LISTS, strict=True)]
    return make_artifact(
        "sizes", "0003", found.readout, plain.origin, plain.question, training, plain.created, found
    )


def test_an_artifact_comes_back_with_its_lists(place: str) -> None:
    made = artifact()

    save_artifact(made, f"{place}/sizes/0003")
    back = load_artifact(f"{place}/sizes/0003")

    assert back.manifest == made.manifest and back.manifest.readout == "multi"
    assert [row.label for row in back.manifest.training] == LISTS
    corpus = vectors_of(TWO_WIDTHS, rows=30, seed=1)
    assert isinstance(back.readout, MultiReadout) and isinstance(made.readout, MultiReadout)
    assert savs.classify(back.readout, corpus) == savs.classify(made.readout, corpus)


@cache
def stored() -> bytes:
    return fitted().to_bytes()


def changed(**parts: Any) -> bytes:
    """The file of a readout with other tensors, or without those that are None, or with other metadata."""
    tensors = load(stored())
    said = json.loads(parts.pop("described", None) or described())
    said |= parts.pop("said", {})
    tensors |= {name: part for name, part in parts.items() if part is not None}
    kept = {name: part for name, part in tensors.items() if parts.get(name, part) is not None}
    return save(kept, {"readout": json.dumps(said)})


def described() -> str:
    size = int.from_bytes(stored()[:8], "little")
    text: str = json.loads(stored()[8 : 8 + size])["__metadata__"]["readout"]
    return text


def part(name: str, place: object, value: float) -> np.ndarray:
    array = load(stored())[name].copy()
    array[place] = value
    return array


HOSTILE = {
    "a weight that is not a number": {"weights": part("weights", (0, 0), np.nan)},
    "an infinite weight": {"weights": part("weights", (0, 0), np.inf)},
    "weights of another width": {"weights": load(stored())["weights"][:-1]},
    "weights of another type": {"weights": load(stored())["weights"].astype(np.float64)},
    "a head that does not exist": {"heads": part("heads", (0, 0), 99)},
    "a head twice": {"heads": part("heads", 0, load(stored())["heads"][1])},
    "no heads": {"heads": load(stored())["heads"][:0]},
    "a slope below 0": {"slopes": part("slopes", 0, -1)},
    "a slope that is not a number": {"slopes": part("slopes", 0, np.nan)},
    "a slope that makes logits infinite": {"slopes": part("slopes", 0, 3e38)},
    "an infinite offset": {"offsets": part("offsets", 0, -np.inf)},
    "an offset of another shape": {"offsets": np.zeros((3, 1), np.float32)},
    "a threshold above 1": {"thresholds": part("thresholds", 0, 1.5)},
    "a threshold that is not a number": {"thresholds": part("thresholds", 0, np.nan)},
    "whole thresholds": {"thresholds": np.zeros(3, np.int32)},
    "fewer thresholds than labels": {"thresholds": np.zeros(2, np.float32)},
    "no thresholds": {"thresholds": None},
    "one label more": {"said": {"classes": ["a", "b", "c", "d"]}},
    "one label": {"said": {"classes": ["a"]}},
    "another mode": {"said": {"mode": "ridge"}},
    "another schema": {"said": {"schema_version": 4}},
    "an unknown field": {"said": {"more": 1}},
    "too many heads to count": {"said": {"layout": [{"layer": 0, "heads": 2**40, "head_dim": 2**40}]}},
}


@pytest.mark.parametrize("what", HOSTILE)
def test_a_file_that_contradicts_itself_is_refused(what: str) -> None:
    with pytest.raises(ArtifactError, match=r"evil\.safetensors (is not a readout|does not match)"):
        multi_of(changed(**HOSTILE[what]), "evil.safetensors")


def test_the_unchanged_file_is_read() -> None:
    assert multi_of(changed(), "good.safetensors").classes == ("größer", "old", "smaller")


@given(st.data())
@settings(max_examples=150, deadline=None)
def test_damaged_bytes_are_refused_or_answer_all_vectors(data: st.DataObject) -> None:
    damaged = bytearray(stored())
    for _ in range(data.draw(st.integers(1, 4))):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    try:
        readout = multi_of(bytes(damaged), "evil.safetensors")
    except ArtifactError:
        return
    corpus = vectors_of(TWO_WIDTHS, rows=5, seed=1)
    if readout.layout == corpus.layout:
        assert np.isfinite(readout.scores(corpus)).all()


def test_an_artifact_of_one_label_per_item_has_no_lists_and_one_of_several_no_texts(tmp_path: Path) -> None:
    made = artifact().manifest
    texts = [row.model_copy(update={"label": "old"}) for row in made.training]

    for wrong in ({"readout": "ridge"}, {"training": tuple(texts)}):
        (tmp_path / "manifest.json").write_text(made.model_copy(update=wrong).model_dump_json())
        with pytest.raises(ArtifactError, match="lists of labels belong to readout 'multi'"):
            load_artifact(str(tmp_path))


def test_an_artifact_whose_readout_is_another_one_is_refused(tmp_path: Path) -> None:
    save_artifact(artifact(), str(tmp_path))
    path = tmp_path / "manifest.json"
    text = path.read_text()

    for old, new in (('"readout": "multi"', '"readout": "ridge"'), ('"größer"', '"groß"')):
        path.write_text(text.replace(old, new, 1))
        with pytest.raises(ArtifactError):
            load_artifact(str(tmp_path))

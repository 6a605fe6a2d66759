"""The readout of Gaussian discriminants: its probabilities, other priors, its device, its file."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import load, save

import savs
from savs.engine.vectors import HeadVectors
from savs.errors import ArtifactError, ArtifactMismatch, ArtifactNotFound, FitError
from savs.readout.choice import fit, fit_readout
from savs.readout.classify import classify
from savs.readout.hec import DeviceHec, HecReadout
from savs.readout.linear import LinearReadout
from tests.savs.data.drawing import layout
from tests.savs.readout.test_artifact import ONE_WIDTH, TWO_WIDTHS, Sizes, vectors_of

LABELS = ["größer", "smaller", "equal"] * 4


def fitted(sizes: Sizes = TWO_WIDTHS, heads: int | None = None) -> HecReadout:
    readout = fit(vectors_of(sizes), LABELS, heads=heads, mode="hec")
    assert isinstance(readout, HecReadout)
    return readout


def by_hand(readout: HecReadout, vectors: HeadVectors) -> np.ndarray:
    """The probabilities as the docstring of `HecReadout` defines them, head by head."""
    places = vectors.layout.slices()
    total = np.zeros((len(vectors), len(readout.classes)))
    start = 0
    for (layer, head), intercept in zip(readout.heads.tolist(), readout.intercepts, strict=True):
        own = vectors.values[:, places[layer, head]].astype(float)
        stop = start + own.shape[1]
        logits = own / np.linalg.norm(own, axis=1, keepdims=True) @ readout.weights[start:stop] + intercept
        powers = np.exp(logits)
        total += powers / powers.sum(1, keepdims=True)
        start = stop
    assert start == len(readout.weights)
    powers = total ** (1 / readout.temperature)
    found: np.ndarray = powers / powers.sum(1, keepdims=True)
    return found


@pytest.mark.parametrize("sizes", [ONE_WIDTH, TWO_WIDTHS])
@pytest.mark.parametrize("heads", [None, 1, 3])
def test_probabilities_are_those_of_its_definition(sizes: Sizes, heads: int | None) -> None:
    readout = replace(fitted(sizes, heads), temperature=0.7)
    corpus = vectors_of(sizes, rows=30, seed=1)

    found = readout.scores(corpus)

    assert len(readout.heads) == (heads or 6)
    assert np.allclose(found, by_hand(readout, corpus), atol=1e-5)
    answers = classify(readout, corpus)
    assert [a.prediction for a in answers] == [readout.classes[row.argmax()] for row in found]
    assert [a.confidence for a in answers] == found.max(1).tolist()


def test_only_the_layers_of_its_heads_are_needed_on_the_device() -> None:
    readout = fitted(TWO_WIDTHS, heads=1)
    corpus = vectors_of(TWO_WIDTHS, rows=5, seed=1)
    layer, head = readout.heads[0].tolist()
    part = corpus.layout.only([layer])
    own = [corpus.layout.slices()[each] for each in part.heads()]
    values = torch.from_numpy(np.concatenate([corpus.values[:, columns] for columns in own], axis=1))

    found = DeviceHec.of(readout, part).read(values)

    assert torch.equal(found, DeviceHec.of(readout, corpus.layout).read(torch.from_numpy(corpus.values)))
    with pytest.raises(KeyError):
        DeviceHec.of(readout, layout((head, 4)))


def test_another_prior_multiplies_the_probabilities() -> None:
    corpus, ratio = vectors_of(TWO_WIDTHS, rows=30, seed=1), np.array([0.2, 1.0, 4.0])

    found = fitted().with_log_prior(np.log(ratio)).scores(corpus)

    want = fitted().scores(corpus) * ratio
    assert np.allclose(found, want / want.sum(1, keepdims=True), atol=1e-5)


def test_vectors_of_another_model_or_with_nan_are_refused() -> None:
    with pytest.raises(ArtifactMismatch, match="the readout was fitted on 3 layers, 6 heads"):
        fitted().scores(vectors_of(ONE_WIDTH))
    broken = vectors_of(TWO_WIDTHS)
    broken.values[1, 2] = np.nan
    for read in (fitted().scores, lambda vectors: classify(fitted(), vectors)):
        with pytest.raises(FitError, match="NaN"):
            read(broken)


def test_the_choice_tells_its_score_beside_the_votes_and_its_suspects() -> None:
    rng = np.random.default_rng(0)
    centres, numbers = rng.normal(size=(3, vectors_of(ONE_WIDTH).layout.width)), np.arange(30) % 3
    rows = (centres[numbers] + 0.05 * rng.normal(size=(30, centres.shape[1]))).astype(np.float32)
    labels = [LABELS[number] for number in numbers]
    labels[4] = LABELS[(numbers[4] + 1) % 3]

    found = fit_readout(HeadVectors(vectors_of(ONE_WIDTH).layout, rows), labels, "hec")

    assert (found.choice.chosen, found.choice.why) == ("hec", "asked for")
    assert [(row.readout, row.how, row.rows) for row in found.choice.table] == [
        ("vote", "leave-one-out", 30),
        ("hec", "leave-one-out", 30),
    ]
    assert found.choice.table[1].accuracy == pytest.approx(29 / 30)
    assert [(one.row, one.label, one.likelier) for one in found.suspects] == [(4, labels[4], labels[1])]


def test_classes_with_one_example_each_have_no_leave_one_out_score() -> None:
    found = fit_readout(vectors_of(ONE_WIDTH)[:3], LABELS[:3], "hec")

    assert [row.readout for row in found.choice.table] == ["vote"] and found.suspects == ()


def test_what_is_saved_comes_back_with_the_same_probabilities(tmp_path: Path) -> None:
    readout, corpus = fitted(heads=3), vectors_of(TWO_WIDTHS, rows=30, seed=1)

    readout.save(tmp_path / "sizes.safetensors")
    back = savs.HecReadout.load(tmp_path / "sizes.safetensors")

    assert repr(back) == repr(readout) and np.array_equal(back.scores(corpus), readout.scores(corpus))
    with pytest.raises(ArtifactNotFound, match="no readout at"):
        savs.HecReadout.load(tmp_path / "gone")


def test_it_and_a_linear_readout_are_not_taken_for_each_other(tmp_path: Path) -> None:
    fitted().save(tmp_path / "hec")
    linear = fit(vectors_of(TWO_WIDTHS), LABELS, mode="ridge")
    linear.save(tmp_path / "linear")

    with pytest.raises(ArtifactError, match="is a readout of mode 'hec'"):
        LinearReadout.load(tmp_path / "hec")
    with pytest.raises(ArtifactError, match="is not a readout of mode 'hec'"):
        HecReadout.load(tmp_path / "linear")


@pytest.mark.parametrize(
    "change",
    [
        {"intercept": np.zeros(3, np.float32)},
        {"intercept": np.zeros((5, 3), np.float32)},
        {"intercept": np.full((6, 3), np.inf, np.float32)},
        {"intercept": np.full((6, 3), np.nan, np.float32)},
        {"intercept": np.zeros((6, 3), np.float64)},
        {"weights": np.full((24, 3), 3e38, np.float32)},
        {"weights": np.zeros((23, 3), np.float32)},
        {"heads": np.array([[9, 9]] * 6, np.int32)},
    ],
)
def test_tensors_that_do_not_fit_their_description_are_refused(
    tmp_path: Path, change: dict[str, Any]
) -> None:
    fitted(ONE_WIDTH).save(tmp_path / "sizes")
    data = (tmp_path / "sizes").read_bytes()
    header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    (tmp_path / "sizes").write_bytes(save({**load(data), **change}, header["__metadata__"]))

    with pytest.raises(ArtifactError, match="does not match"):
        HecReadout.load(tmp_path / "sizes")


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_damaged_bytes_are_a_readout_with_finite_probabilities_or_an_artifact_error(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    path = tmp_path_factory.getbasetemp() / "damaged-hec.safetensors"
    fitted(TWO_WIDTHS).save(path)
    whole = path.read_bytes()
    at = data.draw(st.integers(0, 20) | st.integers(0, len(whole) - 1))
    piece = data.draw(st.binary(max_size=3) | st.sampled_from([b"9", b"-", b"[", b'"', b"null"]))
    path.write_bytes(whole[:at] + piece + whole[at + data.draw(st.integers(0, 3)) :])

    try:
        readout = HecReadout.load(path)
    except ArtifactError as error:
        assert str(error)
    else:
        corpus = HeadVectors(readout.layout, vectors_of(TWO_WIDTHS).values)
        if readout.layout.width == corpus.values.shape[1]:
            assert np.isfinite(readout.scores(corpus)).all()

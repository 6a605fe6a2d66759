"""A linear readout: its probabilities, on the device and with other priors, and its file."""

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
from sklearn.metrics import log_loss

import savs
from savs.engine.vectors import HeadVectors
from savs.errors import ArtifactError, ArtifactMismatch, ArtifactNotFound, FitError, StorageError
from savs.estimators.linear import LinearMap
from savs.readout.choice import fit
from savs.readout.classify import classify
from savs.readout.fit import Readout
from savs.readout.linear import DeviceLinear, LinearReadout
from tests.savs.data.drawing import head_vectors, layout
from tests.savs.readout.test_artifact import ONE_WIDTH, TWO_WIDTHS, Sizes, vectors_of

LABELS = ["größer", "smaller", "equal"] * 4


def fitted(sizes: Sizes = TWO_WIDTHS, heads: int | None = None) -> LinearReadout:
    readout = fit(vectors_of(sizes), LABELS, heads=heads, mode="ridge")
    assert isinstance(readout, LinearReadout)
    return readout


def by_hand(readout: LinearReadout, vectors: HeadVectors) -> np.ndarray:
    """The probabilities as the docstring of `LinearReadout` defines them, head by head."""
    places = vectors.layout.slices()
    logits = np.tile(readout.intercept.astype(float), (len(vectors), 1))
    start = 0
    for layer, head in readout.heads.tolist():
        own = vectors.values[:, places[layer, head]].astype(float)
        stop = start + own.shape[1]
        logits += own / np.linalg.norm(own, axis=1, keepdims=True) @ readout.weights[start:stop]
        start = stop
    assert start == len(readout.weights)
    powers = np.exp(logits / readout.temperature)
    return powers / powers.sum(1, keepdims=True)


@pytest.fixture(params=["disk", "s3"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return str(tmp_path) if request.param == "disk" else f"s3://{request.getfixturevalue('bucket')}/readouts"


@pytest.mark.parametrize("sizes", [ONE_WIDTH, TWO_WIDTHS])
@pytest.mark.parametrize("heads", [None, 1, 3])
def test_probabilities_are_those_of_its_definition(sizes: Sizes, heads: int | None) -> None:
    readout = fitted(sizes, heads)
    corpus = vectors_of(sizes, rows=30, seed=1)

    found = readout.scores(corpus)

    assert len(readout.heads) == heads or heads is None
    assert found.dtype == np.float64 and np.allclose(found.sum(1), 1)
    assert np.allclose(found, by_hand(readout, corpus), atol=1e-5)


@pytest.mark.parametrize("sizes", [ONE_WIDTH, TWO_WIDTHS])
def test_answers_are_the_probabilities_from_the_highest_on(sizes: Sizes) -> None:
    readout = fitted(sizes)
    corpus = vectors_of(sizes, rows=30, seed=1)

    answers = classify(readout, corpus)

    for answer, row in zip(answers, readout.scores(corpus), strict=True):
        assert answer.scores == dict(zip(readout.classes, row.tolist(), strict=True))
        assert list(answer.scores.values()) == sorted(row.tolist(), reverse=True)
        assert answer.prediction == readout.classes[row.argmax()]
        assert answer.confidence == row.max() and answer.votes == {}


def test_the_device_reads_what_the_linear_map_scores() -> None:
    readout = fitted(TWO_WIDTHS)
    corpus = vectors_of(TWO_WIDTHS, rows=30, seed=1)
    places = corpus.layout.slices()
    order = [places[layer, head] for layer, head in readout.heads.tolist()]
    weights, start = np.zeros((corpus.layout.width, 3)), 0
    for columns in order:
        stop = start + columns.stop - columns.start
        weights[columns], start = readout.weights[start:stop], stop
    spans = tuple((columns.start, columns.stop) for columns in places.values())

    values = torch.from_numpy(corpus.values)
    found = DeviceLinear.of(readout, corpus.layout).read(values) * readout.temperature

    want = LinearMap(spans, weights, readout.intercept).scores(corpus.values)
    assert np.allclose(found.numpy(), want, atol=1e-5)


def test_only_the_layers_of_its_heads_are_needed_on_the_device() -> None:
    readout = fitted(TWO_WIDTHS, heads=1)
    corpus = vectors_of(TWO_WIDTHS, rows=5, seed=1)
    layer, head = readout.heads[0].tolist()
    part = corpus.layout.only([layer])
    own = [corpus.layout.slices()[each] for each in part.heads()]
    values = torch.from_numpy(np.concatenate([corpus.values[:, columns] for columns in own], axis=1))

    found = DeviceLinear.of(readout, part).read(values)

    whole = DeviceLinear.of(readout, corpus.layout).read(torch.from_numpy(corpus.values))
    assert torch.equal(found, whole)
    with pytest.raises(KeyError):
        DeviceLinear.of(readout, layout((head, 4)))


def test_the_size_of_a_heads_vector_does_not_matter() -> None:
    readout = fitted()
    corpus = vectors_of(TWO_WIDTHS, rows=5, seed=1)
    sized = corpus.values.copy()
    for number, columns in enumerate(corpus.layout.slices().values()):
        sized[:, columns] *= np.float32(10.0 ** (number - 3))

    assert np.allclose(readout.scores(HeadVectors(corpus.layout, sized)), readout.scores(corpus), atol=1e-5)


def test_another_prior_multiplies_the_probabilities() -> None:
    readout = replace(fitted(), temperature=0.3)
    corpus = vectors_of(TWO_WIDTHS, rows=30, seed=1)
    ratio = np.array([0.2, 1.0, 4.0])

    found = readout.with_log_prior(np.log(ratio)).scores(corpus)

    want = readout.scores(corpus) * ratio
    assert np.allclose(found, want / want.sum(1, keepdims=True), atol=1e-5)


def test_vectors_of_another_model_or_with_nan_are_refused() -> None:
    readout = fitted()
    with pytest.raises(ArtifactMismatch, match="the readout was fitted on 3 layers, 6 heads"):
        readout.scores(vectors_of(ONE_WIDTH))
    broken = vectors_of(TWO_WIDTHS)
    broken.values[1, 2] = np.nan
    for read in (readout.scores, lambda vectors: classify(readout, vectors)):
        with pytest.raises(FitError, match="NaN"):
            read(broken)


@pytest.mark.parametrize("sizes", [ONE_WIDTH, TWO_WIDTHS])
@pytest.mark.parametrize("heads", [None, 1])
def test_what_is_saved_comes_back_with_the_same_probabilities(
    place: str, sizes: Sizes, heads: int | None
) -> None:
    readout = fitted(sizes, heads)
    corpus = vectors_of(sizes, rows=30, seed=1)

    readout.save(f"{place}/deeper/sizes.safetensors")
    back = savs.LinearReadout.load(f"{place}/deeper/sizes.safetensors")

    assert (back.mode, back.classes, back.layout, back.temperature) == (
        readout.mode,
        readout.classes,
        readout.layout,
        readout.temperature,
    )
    assert np.array_equal(back.heads, readout.heads) and back.heads.dtype == np.int32
    assert np.array_equal(back.scores(corpus), readout.scores(corpus))


def test_the_same_readout_is_the_same_bytes(tmp_path: Path) -> None:
    for name in ("one", "other"):
        fitted().save(tmp_path / name)

    assert (tmp_path / "one").read_bytes() == (tmp_path / "other").read_bytes()


def test_a_missing_file_is_told_apart_from_a_damaged_one(place: str, tmp_path: Path) -> None:
    with pytest.raises(ArtifactNotFound, match="no readout at"):
        LinearReadout.load(f"{place}/gone.safetensors")
    with pytest.raises(StorageError, match="directory"):
        LinearReadout.load(tmp_path)


def test_a_vote_and_a_linear_readout_are_not_taken_for_each_other(tmp_path: Path) -> None:
    fit(vectors_of(ONE_WIDTH), LABELS, heads=2).save(tmp_path / "vote")
    fitted().save(tmp_path / "linear")

    with pytest.raises(ArtifactError, match="not a linear readout"):
        LinearReadout.load(tmp_path / "vote")
    with pytest.raises(ArtifactError, match=r"not a file that Readout\.save wrote"):
        Readout.load(tmp_path / "linear")


def load_with(path: Path, said: dict[str, Any], tensors: dict[str, np.ndarray]) -> LinearReadout:
    """What `load` makes of a file of which some parts are others."""
    fitted(ONE_WIDTH).save(path)
    data = path.read_bytes()
    header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    description = json.loads(header["__metadata__"]["readout"]) | said
    path.write_bytes(save({**load(data), **tensors}, {"readout": json.dumps(description)}))
    return LinearReadout.load(path)


@pytest.mark.parametrize(
    "change",
    [
        {"schema_version": 1},
        {"classes": ["alone"]},
        {"classes": ["one", "two"]},
        {"temperature": 0},
        {"temperature": -1},
        {"temperature": float("nan")},
        {"temperature": 1e-40},
        {"temperature": "secret"},
        {"layout": []},
        {"layout": [{"layer": 0, "heads": 3, "head_dim": 4}]},
        {"layout": [{"layer": 0, "heads": 3, "head_dim": 4}, {"layer": 1, "heads": 3, "head_dim": 5}]},
        {"surprise": "secret"},
    ],
)
def test_a_description_that_does_not_fit_is_refused_and_not_quoted(
    tmp_path: Path, change: dict[str, Any]
) -> None:
    with pytest.raises(ArtifactError, match=r"is not a linear readout|does not match") as caught:
        load_with(tmp_path / "sizes.safetensors", change, {})
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    "tensors",
    [
        {"heads": np.zeros((6, 2), np.int32)},
        {"heads": np.array([[9, 9]] * 6, np.int32)},
        {"heads": np.array([[-1, 0]] * 6, np.int32)},
        {"heads": np.zeros((0, 2), np.int32)},
        {"heads": np.zeros((), np.int32)},
        {"heads": np.zeros((6, 2), np.int64)},
        {"weights": np.zeros((23, 3), np.float32)},
        {"weights": np.zeros((24, 3), np.float64)},
        {"weights": np.full((24, 3), np.nan, np.float32)},
        {"weights": np.full((24, 3), 3e38, np.float32)},
        {"intercept": np.zeros(2, np.float32)},
        {"intercept": np.array([0, 0, np.inf], np.float32)},
        {"intercept": np.zeros((), np.float32)},
    ],
)
def test_tensors_that_do_not_fit_their_description_are_refused(
    tmp_path: Path, tensors: dict[str, np.ndarray]
) -> None:
    with pytest.raises(ArtifactError, match="does not match"):
        load_with(tmp_path / "sizes.safetensors", {}, tensors)


@pytest.mark.timeout(20)
def test_a_description_of_a_billion_heads_is_refused_at_once(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="does not match"):
        load_with(
            tmp_path / "sizes.safetensors", {"layout": [{"layer": 0, "heads": 10**9, "head_dim": 4}]}, {}
        )


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_damaged_bytes_are_a_readout_with_finite_probabilities_or_an_artifact_error(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    path = tmp_path_factory.getbasetemp() / "damaged.safetensors"
    fitted(TWO_WIDTHS).save(path)
    whole = path.read_bytes()
    at = data.draw(st.integers(0, 20) | st.integers(0, len(whole) - 1))
    piece = data.draw(st.binary(max_size=3) | st.sampled_from([b"9", b"-", b"[", b'"', b"null"]))
    path.write_bytes(whole[:at] + piece + whole[at + data.draw(st.integers(0, 3)) :])

    try:
        readout = LinearReadout.load(path)
    except ArtifactError as error:
        assert str(error)
    else:
        corpus = HeadVectors(readout.layout, vectors_of(TWO_WIDTHS).values)
        if readout.layout.width == corpus.values.shape[1]:
            assert np.isfinite(readout.scores(corpus)).all()


def test_it_is_as_sure_of_new_rows_as_they_are_alike() -> None:
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(2, 24))
    labels = ["a", "b"] * 20

    def drawn(noise: float, seed: int) -> HeadVectors:
        rows = centres[[0, 1] * 20] + noise * np.random.default_rng(seed).normal(size=(40, 24))
        return head_vectors(rows, *ONE_WIDTH)

    for noise, least, most in ((0.01, 0.0, 0.01), (4.0, 0.3, 0.6), (100.0, 0.69, 0.70)):
        readout = fit(drawn(noise, 1), labels, mode="ridge")
        assert isinstance(readout, LinearReadout)
        loss = log_loss([0, 1] * 20, readout.scores(drawn(noise, 2)), labels=[0, 1])
        assert least <= loss <= most

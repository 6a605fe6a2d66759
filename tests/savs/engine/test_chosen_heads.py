"""Head vectors of some of a model's heads: where each is, their files, and what can be done with them."""

import json
from pathlib import Path

import numpy as np
import pytest

import savs
from savs.engine.vectors import HeadVectors, in_order, metadata_of, vectors_from_bytes, vectors_to_bytes
from savs.errors import ArtifactError, ArtifactMismatch, FitError
from savs.model.heads import HeadLayout, LayerHeads
from savs.readout.classify import on_device
from savs.readout.linear import LinearReadout

WHOLE = HeadLayout((LayerHeads(0, 4, 8), LayerHeads(3, 2, 16), LayerHeads(5, 3, 8)))
SOME = [(3, 1), (0, 3), (0, 1)]
LABELS = [f"{n % 3}" for n in range(30)]


def vectors(rows: int = 30) -> HeadVectors:
    values = np.random.default_rng(0).standard_normal((rows, WHOLE.width)).astype(np.float32)
    values[:, :3] += 3 * np.eye(3, dtype=np.float32)[np.arange(rows) % 3]
    return HeadVectors(WHOLE, values)


def test_a_part_of_a_layout_has_its_heads_in_the_order_of_the_model() -> None:
    part = WHOLE.part(SOME)

    assert part.heads() == [(0, 1), (0, 3), (3, 1)]
    assert part.slices() == {(0, 1): slice(0, 8), (0, 3): slice(8, 16), (3, 1): slice(16, 32)}
    assert part.width == 32 and part.counts == "2 layers, 3 heads"
    assert WHOLE.columns(part) == [*range(8, 16), *range(24, 32), *range(48, 64)]
    assert part.is_part_of(WHOLE) and not WHOLE.is_part_of(part)


def test_a_part_of_all_heads_is_the_layout_itself() -> None:
    assert WHOLE.part(WHOLE.heads()) == WHOLE
    assert WHOLE.part([(0, 0), (0, 1), (0, 2), (0, 3)]) == WHOLE.only([0])
    assert vectors().part(WHOLE).layout == WHOLE


@pytest.mark.parametrize("chosen", [(), (1, 1), (2, 1), (-1, 2), (0, 4)])
def test_a_choice_that_a_layer_cannot_have_is_refused(chosen: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="choice"):
        LayerHeads(0, 4, 8, chosen)


def test_a_head_that_is_missing_is_a_typed_error_that_names_it() -> None:
    with pytest.raises(ArtifactMismatch, match="head 0 of layer 3 and 1 more is missing"):
        WHOLE.part(SOME).part([(3, 0), (0, 0), (0, 1)])
    with pytest.raises(ArtifactMismatch, match="layer 5"):
        vectors().part(WHOLE.part(SOME)).part(WHOLE.only([5]))
    with pytest.raises(ArtifactMismatch, match="another model"):
        WHOLE.columns(HeadLayout((LayerHeads(0, 3, 8, (1,)),)))


def test_vectors_of_chosen_heads_are_saved_loaded_joined_and_taken_apart(tmp_path: Path) -> None:
    part = vectors().part(WHOLE.part(SOME))
    part.save(tmp_path / "part.safetensors")

    loaded = HeadVectors.load(tmp_path / "part.safetensors")

    assert loaded.layout == part.layout
    assert np.abs(loaded.values - part.values).max() < 2**-10 * np.abs(part.values).max()
    assert np.array_equal(HeadVectors.concat([loaded[:7], loaded[7:]]).values, loaded.values)
    with pytest.raises(FitError, match="only vectors of one model"):
        HeadVectors.concat([loaded, vectors()])
    # and they are what is stored of these heads if all are
    whole = vectors_from_bytes(vectors_to_bytes(vectors()), "whole")
    assert np.array_equal(whole.part(part.layout).values, loaded.values)


def test_the_layout_of_all_heads_is_written_as_it_always_was() -> None:
    said = metadata_of(vectors_to_bytes(vectors()))

    assert said == {"layout": "[[0, 4, 8], [3, 2, 16], [5, 3, 8]]"}
    assert metadata_of(vectors_to_bytes(vectors().part(WHOLE.part(SOME)))) == {
        "layout": "[[0, 4, 8, [1, 3]], [3, 2, 16, [1]]]"
    }


@pytest.mark.parametrize(
    "chosen",
    [
        [],
        [1],
        [3, 1],
        [1, 1],
        [1, 4],
        [-1, 1],
        ["a", "b"],
        [None, 1],
        "13",
        13,
        {"1": 3},
        [1, 1e999],
        [[1], 3],
    ],
)
def test_a_hostile_choice_of_heads_is_an_artifact_error_that_quotes_nothing(chosen: object) -> None:
    data = vectors_to_bytes(vectors().part(WHOLE.part([(0, 1), (0, 3)])))
    layout = json.dumps([[0, 4, 8, chosen]])
    if chosen == "13":  # read digit after digit, it is the choice that was written
        layout = json.dumps([[0, 4, 8, "14"]])
    hostile = with_layout(data, layout)

    with pytest.raises(ArtifactError) as refused:
        vectors_from_bytes(hostile, "it")

    assert "13" not in str(refused.value)


@pytest.mark.parametrize("layer", [[0, 2**62, 8], [0, 2**62, 8, [1, 3]], [0, 4, 2**62, [1, 3]], [0, 4]])
def test_a_layer_of_a_hostile_size_is_refused_without_memory_for_it(layer: list[object]) -> None:
    data = vectors_to_bytes(vectors().part(WHOLE.part([(0, 1), (0, 3)])))
    if layer[1:] == [2**62, 8, [1, 3]]:  # two heads of a model that has that many: they are all that is held
        assert len(vectors_from_bytes(with_layout(data, json.dumps([layer])), "it").layout.heads()) == 2
        return

    with pytest.raises(ArtifactError):
        vectors_from_bytes(with_layout(data, json.dumps([layer])), "it")


def with_layout(data: bytes, layout: str) -> bytes:
    end = 8 + int.from_bytes(data[:8], "little")
    header = json.loads(data[8:end])
    header["__metadata__"]["layout"] = layout
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    return in_order(len(text).to_bytes(8, "little") + text + data[end:])


@pytest.mark.parametrize("kind", ["reference", "ridge"])
def test_a_readout_labels_vectors_that_have_only_its_heads(kind: str) -> None:
    fitted = savs.fit(vectors(), LABELS, mode=kind, heads=4)
    heads = [(int(layer), int(head)) for layer, head in fitted.heads]

    own = vectors().part(WHOLE.part(heads))

    assert [a.prediction for a in savs.classify(fitted, own)] == [
        a.prediction for a in savs.classify(fitted, vectors())
    ]
    if isinstance(fitted, LinearReadout):
        assert np.allclose(fitted.scores(own), fitted.scores(vectors()))


@pytest.mark.parametrize("kind", ["reference", "ridge"])
def test_a_readout_does_not_label_vectors_that_lack_one_of_its_heads(kind: str) -> None:
    fitted = savs.fit(vectors(), LABELS, mode=kind, heads=4)
    missing = vectors().part(WHOLE.part([(int(layer), int(head)) for layer, head in fitted.heads[1:]]))
    layer, head = fitted.heads[0]

    for label in (savs.classify, lambda r, v: on_device(r, v.layout)):
        with pytest.raises(ArtifactMismatch, match=f"head {head} of layer {layer} is missing"):
            label(fitted, missing)
    if isinstance(fitted, LinearReadout):
        with pytest.raises(ArtifactMismatch, match=f"head {head} of layer {layer} is missing"):
            fitted.scores(missing)


def test_no_readout_is_fitted_on_some_of_a_models_heads() -> None:
    with pytest.raises(FitError, match="only some of the model's heads"):
        savs.fit(vectors().part(WHOLE.part(SOME)), LABELS)

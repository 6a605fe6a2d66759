"""Head vectors do not depend on what else is in the batch, and cost no logits."""

from pathlib import Path

import numpy as np
import pytest

import savs
from savs.engine.packing import Budget
from savs.errors import ItemError, MissingMedia, NoQuestion, UnusableVectors
from tests.savs.data.drawing import noise, write_clip


@pytest.fixture
def ragged(tmp_path: Path) -> list[savs.Sample]:
    """Pictures of several shapes, two pictures, a video, and none; long questions and short ones."""
    sizes = [(84, 84), (56, 140), (200, 100), (28, 300), (140, 84), (84, 84)]
    paths = []
    for number, (width, height) in enumerate(sizes):
        noise(width, height, seed=number).save(tmp_path / f"{number}.png")
        paths.append(str(tmp_path / f"{number}.png"))
    clip = str(write_clip(tmp_path / "clip.mp4", 24, 8, 140, 56))
    other = str(write_clip(tmp_path / "other.mp4", 10, 5, 64, 64))
    rows = [
        ((paths[0],), "Shape?"),
        ((paths[1],), "What colour is the large thing in the middle of this picture, and why?"),
        ((), "Is the sea blue?"),
        ((paths[2], paths[3]), "Do both show the same?"),
        ((clip,), "Where does it go?"),
        ((paths[4],), "How many are there? " * 12),
        ((), "Name a fruit that is neither red nor round, and say in which season it is ripe."),
        ((clip, paths[5]), "Is this from the video?"),
        ((other,), "Up or down?"),
    ]
    return [savs.Sample(i, str(i), media, question) for i, (media, question) in enumerate(rows)]


def test_a_batch_gives_what_its_items_give_alone(model: savs.Model, ragged: list[savs.Sample]) -> None:
    # given items of every size and kind
    # if they are read in one batch, and one at a time
    together = savs.extract(model, ragged, budget=Budget(len(ragged) * 60, 10**9))
    alone = savs.extract(model, ragged, budget=Budget(1, 10**9))
    # then every head's vector points the same way and is as long
    assert not together.errors
    assert not alone.errors
    for head, columns in model.layout.slices().items():
        a, b = together.vectors.values[:, columns], alone.vectors.values[:, columns]
        lengths = np.linalg.norm(a, axis=1), np.linalg.norm(b, axis=1)
        assert ((a * b).sum(axis=1) / (lengths[0] * lengths[1])).min() >= 0.9999, head
        assert np.allclose(*lengths, rtol=1e-3), head
    # and items differ, so that this says something
    assert len(np.unique(alone.vectors.values.round(4), axis=0)) == len(ragged)


def test_rows_come_in_the_samples_order_whatever_the_batch_size(
    model: savs.Model, ragged: list[savs.Sample]
) -> None:
    whole = savs.extract(model, ragged, budget=Budget(16 * 60, 10**9))
    for size in (2, 4):
        parts = savs.extract(model, ragged, budget=Budget(size * 60, 10**9))
        assert parts.samples == whole.samples == tuple(ragged)
        assert np.allclose(parts.vectors.values, whole.vectors.values, atol=1e-3)


def test_no_logits_are_computed(model: savs.Model, ragged: list[savs.Sample]) -> None:
    calls = []
    hook = model.network.lm_head.register_forward_hook(lambda *_: calls.append(1))
    try:
        savs.extract(model, ragged[:3])
        assert not calls
        model.network(input_ids=model.processor.tokenizer("red", return_tensors="pt")["input_ids"])
        assert calls  # the hook does see the head when it runs
    finally:
        hook.remove()


def test_nothing_is_left_hooked_onto_the_model(model: savs.Model, ragged: list[savs.Sample]) -> None:
    savs.extract(model, ragged[:2])
    assert not any(projection.module._forward_pre_hooks for projection in model.projections)


def test_vectors_are_float32_and_as_wide_as_the_layout_says(
    model: savs.Model, ragged: list[savs.Sample]
) -> None:
    vectors = savs.extract(model, ragged[:2]).vectors
    assert vectors.values.dtype == np.float32
    assert vectors.values.shape == (2, model.layout.width)


def test_vectors_of_a_bfloat16_model_are_float32(qwen2_vl: Path, ragged: list[savs.Sample]) -> None:
    model = savs.load_model(qwen2_vl, device="cpu", dtype="bfloat16")
    vectors = savs.extract(model, ragged[:3]).vectors
    assert model.dtype == "bfloat16"
    assert vectors.values.dtype == np.float32


def test_no_samples_give_no_vectors(model: savs.Model) -> None:
    found = savs.extract(model, [])
    assert found.vectors.values.shape == (0, model.layout.width)


def test_one_bad_item_costs_its_own_row_and_no_other(
    qwen2: savs.Model, ragged: list[savs.Sample], tmp_path: Path
) -> None:
    # given good items, among them a file that is not there and a row without a question
    calm = savs.extract(qwen2, [ragged[0], ragged[2]], budget=Budget(1, 10**9)).vectors.values
    lost = savs.Sample(7, "lost", (str(tmp_path / "gone.png"),), "Shape?")
    silent = savs.Sample(8, "silent", ragged[0].media)
    # if all are read together
    found = savs.extract(qwen2, [lost, ragged[0], silent, ragged[2]])
    # then the others have their vectors
    assert found.samples == (ragged[0], ragged[2])
    assert np.allclose(found.vectors.values, calm, atol=1e-4)
    # and the bad ones their reasons
    kinds: dict[int, type[ItemError]] = {index: type(error) for index, error in found.errors.items()}
    assert kinds == {7: MissingMedia, 8: NoQuestion}


def test_a_question_is_taken_from_the_row_else_from_the_caller(
    qwen2: savs.Model, ragged: list[savs.Sample]
) -> None:
    media = ragged[0].media
    own, none = savs.Sample(0, "0", media, "Shape?"), savs.Sample(1, "1", media)
    asked = savs.extract(qwen2, [own, none], question="Colour?", budget=Budget(1, 10**9)).vectors.values
    colour = savs.extract(qwen2, [savs.Sample(0, "0", media, "Colour?")]).vectors.values
    shape = savs.extract(qwen2, [own]).vectors.values
    assert np.array_equal(asked, np.concatenate([shape, colour]))
    assert not np.array_equal(shape, colour)


def test_a_model_that_answers_with_nan_costs_the_row(qwen2_vl: Path, ragged: list[savs.Sample]) -> None:
    # given a model that breaks on one word
    model = savs.load_model(qwen2_vl, device="cpu")
    word = model.processor.tokenizer("Is the sea blue?")["input_ids"][-2]
    assert word not in model.processor.tokenizer("Shape?")["input_ids"]
    model.network.get_input_embeddings().weight.data[word] = float("nan")
    # if an item with that word stands beside one without
    found = savs.extract(model, [ragged[2], ragged[0]])
    # then only the first is lost
    assert found.samples == (ragged[0],)
    assert isinstance(found.errors[2], UnusableVectors)

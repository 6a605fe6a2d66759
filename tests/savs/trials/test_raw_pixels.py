"""Pixels that the device normalises are those of the processor, bit by bit; and where they are not, the
processor normalises them."""

import logging
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from transformers import Qwen2VLImageProcessor

import savs
from savs.data.video.sampling import Video
from savs.engine import zero_shot
from savs.engine.forward import onto_device, read_heads
from savs.engine.prompts import Prompt, preprocess
from savs.model.raw_pixels import Raw, RawPixels
from savs.trials.raw_pixels import find_raw
from tests.checkpoints import FAMILIES
from tests.savs.data.drawing import noise

QWEN = ("qwen2_vl", "qwen2_5_vl", "qwen3_vl")
# Families whose processors return bytes; the others pad or stack images after normalising.
IMAGES = {*QWEN, "glm4_1v", "glm4_6v", "internvl", "gemma3"}
VIDEOS = {*QWEN, "glm4_1v", "glm4_6v", "internvl", "llava_onevision", "smolvlm"}
SIZES = ((84, 84), (30, 40), (56, 140), (300, 100), (640, 480), (29, 29))

FamilyModel = Callable[[str], savs.Model]


def plain(model: savs.Model) -> savs.Model:
    return replace(model, raw=Raw())


def pictures() -> list[Prompt]:
    """Prompts with one picture, several and none, of different sizes."""
    shown = [noise(*size, seed) for seed, size in enumerate(SIZES)]
    some = [shown[:1], shown[1:3], [], shown[3:], shown[:1]]
    return [Prompt(tuple(media), "What is it? " * (1 + n)) for n, media in enumerate(some)]


def video(frames: int, height: int, width: int) -> Video:
    pixels = np.random.default_rng(frames).integers(0, 256, (frames, height, width, 3), dtype=np.uint8)
    return Video(pixels, tuple(range(frames)), fps=2.0, total=frames)


def inputs_of(model: savs.Model, prompts: list[Prompt]) -> list[dict[str, Any]]:
    batches, errors = preprocess(model, prompts)
    assert not errors
    return [onto_device(model, batch.inputs) for _, batch in batches]


def same(model: savs.Model, prompts: list[Prompt]) -> None:
    found, expected = inputs_of(model, prompts), inputs_of(plain(model), prompts)
    for one, other in zip(found, expected, strict=True):
        assert one.keys() == other.keys()
        for name, value in other.items():
            assert one[name].dtype == value.dtype and torch.equal(one[name], value), name


def raw_names(model: savs.Model, prompts: list[Prompt]) -> set[str]:
    batches, _ = preprocess(model, prompts)
    return {name for _, b in batches for name, value in b.inputs.items() if isinstance(value, RawPixels)}


@pytest.mark.parametrize("family", FAMILIES)
def test_pictures_are_those_of_the_processor_in_every_bit(family_model: FamilyModel, family: str) -> None:
    model = family_model(family)
    assert (model.raw.images is not None) == (family in IMAGES)
    assert raw_names(model, pictures()) == ({"pixel_values"} if family in IMAGES else set())
    same(model, pictures())


@pytest.mark.parametrize("family", sorted(VIDEOS))
def test_videos_are_those_of_the_processor_in_every_bit(family_model: FamilyModel, family: str) -> None:
    model = family_model(family)
    prompts = [Prompt((video(*shape),), "What?") for shape in ((4, 56, 84), (8, 140, 56), (4, 200, 100))]
    assert raw_names(model, prompts) in ({"pixel_values_videos"}, {"pixel_values"})
    same(model, prompts)


def test_families_without_such_videos_are_known(family_model: FamilyModel) -> None:
    assert {name for name in FAMILIES if family_model(name).raw.videos is not None} == VIDEOS


def test_a_video_with_fewer_frames_than_a_patch_is_the_processors(qwen2: savs.Model) -> None:
    same(qwen2, [Prompt((video(3, 56, 56), noise(84, 84)), "What?"), Prompt((video(1, 56, 84),), "What?")])


@pytest.mark.parametrize("mode", ["L", "RGBA", "P"])
def test_a_picture_of_another_mode_is_converted_by_the_processor(qwen2: savs.Model, mode: str) -> None:
    same(qwen2, [Prompt((noise(84, 84).convert(mode), noise(56, 56)), "What?")])


def test_other_budgets_keep_the_pixels_equal(qwen2: savs.Model) -> None:
    smaller = qwen2.shown(max_pixels=40 * 28 * 28)
    assert smaller.raw.images is not None
    same(smaller, [Prompt((noise(640, 480), noise(84, 84)), "What?")])


@pytest.mark.parametrize("family", sorted(IMAGES | VIDEOS))
def test_head_vectors_are_the_same_numbers(family_model: FamilyModel, family: str) -> None:
    model = family_model(family)
    prompts = [*pictures()] if family in IMAGES else []
    prompts += [Prompt((video(4, 56, 84),), "What?")] if family in VIDEOS else []
    for prompt in prompts:
        [(_, batch)], _ = preprocess(model, [prompt])
        [(_, other)], _ = preprocess(plain(model), [prompt])
        assert np.array_equal(read_heads(model, batch), read_heads(model, other))


def test_zero_shot_answers_are_the_same(qwen2: savs.Model) -> None:
    prompts = [Prompt((noise(84, 84, seed),), "Which?") for seed in range(3)]
    answers = zero_shot.likeliest(qwen2, prompts, ["a cat", "red"])
    assert answers == zero_shot.likeliest(plain(qwen2), prompts, ["a cat", "red"])
    assert zero_shot.generate(qwen2, prompts, 4) == zero_shot.generate(plain(qwen2), prompts, 4)


def test_a_processor_that_pads_after_normalising_is_told_once(
    family_model: FamilyModel, caplog: pytest.LogCaptureFixture
) -> None:
    model = family_model("llava_next")
    with caplog.at_level(logging.INFO, logger="savs.pixels"):
        assert find_raw(model).images is None
    [record] = caplog.records
    assert "LlavaNextImageProcessor: pixel_values differs by up to 1" in record.message


class Shifted(Qwen2VLImageProcessor):  # type: ignore[misc]
    """Adds a little of its own after normalising."""

    def rescale_and_normalize(self, images: Any, *given: Any) -> Any:
        found = super().rescale_and_normalize(images, *given)
        return found + 2**-20 if found.is_floating_point() else found


class Strict(Qwen2VLImageProcessor):  # type: ignore[misc]
    """Does not do without normalising."""

    def rescale_and_normalize(self, images: Any, do_rescale: bool, *given: Any) -> Any:
        assert do_rescale, "bytes are not for me"
        return super().rescale_and_normalize(images, do_rescale, *given)


@pytest.mark.parametrize(("kind", "why"), [(Shifted, "differs by up to 9.54e-07"), (Strict, "not for me")])
def test_a_processor_with_other_pixels_normalises_them(
    qwen2: savs.Model,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    kind: type[Qwen2VLImageProcessor],
    why: str,
) -> None:
    monkeypatch.setattr(qwen2.processor, "image_processor", kind())
    with caplog.at_level(logging.INFO, logger="savs.pixels"):
        found = find_raw(qwen2)
    assert found.images is None and found.videos == qwen2.raw.videos is not None
    [record] = caplog.records
    assert kind.__name__ in record.message and why in record.message
    same(replace(qwen2, raw=found), pictures())

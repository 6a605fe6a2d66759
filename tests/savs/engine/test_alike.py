"""Tokens of media and positions of rows: computed once for those that are alike, and not differently."""

from dataclasses import replace
from inspect import signature
from typing import Any

import pytest
import torch
from PIL import Image

import savs
from savs.data.video.sampling import Video
from savs.engine.batches import tokens_of
from savs.engine.packing import PIXELS_PER_TOKEN
from savs.engine.prompts import Prompt, preprocess
from savs.engine.sharing import positions
from savs.trials.media import long_video
from tests.savs.data.drawing import noise

SIZES = [(84, 56), (56, 84), (84, 56), (140, 28), (56, 84), (84, 56)]  # pixels, width and height


class Counting:
    """A real processor that remembers which sizes it was asked about, and refuses one."""

    def __init__(self, processor: Any, refused: tuple[int, int] | None = None) -> None:
        self.processor, self.refused = processor, refused
        self.calls: list[list[tuple[int, int]]] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self.processor, name)

    def _get_num_multimodal_tokens(self, image_sizes: list[tuple[int, int]]) -> Any:
        self.calls.append(image_sizes)
        if self.refused in image_sizes:
            raise ValueError("too long")
        return self.processor._get_num_multimodal_tokens(image_sizes=image_sizes)


def pictures() -> list[Image.Image | Video]:
    return [noise(*size, seed) for seed, size in enumerate(SIZES)]


def test_the_processor_counts_each_size_once_and_all_in_one_call(model: savs.Model) -> None:
    processor = Counting(model.processor)

    found = tokens_of(replace(model, processor=processor))(pictures())

    assert found == [count for one in pictures() for count in tokens_of(model)([one])]
    assert processor.calls == [[(56, 84), (84, 56), (28, 140)]]


def test_a_size_that_the_processor_cannot_count_is_estimated_alone(model: savs.Model) -> None:
    processor = Counting(model.processor, refused=(28, 140))

    found = tokens_of(replace(model, processor=processor))(pictures())

    real = tokens_of(model)(pictures())
    assert found == [*real[:3], 28 * 140 // PIXELS_PER_TOKEN, *real[4:]]


def test_what_cannot_be_counted_at_all_is_estimated(model: savs.Model) -> None:
    blind = replace(model, processor=object())

    assert tokens_of(blind)(pictures()) == [w * h // PIXELS_PER_TOKEN for w, h in SIZES]


def ragged(kind: str) -> list[Prompt]:
    """Prompts of several sizes and lengths, some alike."""
    shown: list[tuple[Image.Image | Video, ...]] = [(one,) for one in pictures()]
    if kind == "pairs":
        shown = [(one, pictures()[i // 2]) if i % 2 else (one,) for i, one in enumerate(pictures())]
    if kind == "videos":
        shown = [(long_video(frames),) for frames in (8, 4, 8, 8)]
    return [Prompt(media, "What?" + " Say it." * (i % 2)) for i, media in enumerate(shown)]


@pytest.mark.parametrize("kind", ["pictures", "pairs", "videos"])
@pytest.mark.parametrize("family", ["qwen2_5", "qwen2", "qwen3_vl", "glm4_1v"])
def test_rows_stand_where_the_model_itself_places_them(
    request: pytest.FixtureRequest, family: str, kind: str, family_model: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = request.getfixturevalue(family) if family.startswith("qwen2") else family_model(family)
    batches, errors = preprocess(model, ragged(kind))
    find = model.network.base_model.get_rope_index
    rows: list[int] = []

    def counting(**given: Any) -> Any:
        rows.append(len(given["input_ids"]))
        return find(**given)

    counting.__signature__ = signature(find)  # type: ignore[attr-defined]
    monkeypatch.setattr(model.network.base_model, "get_rope_index", counting)

    assert batches and not errors
    for _, batch in batches:
        given = {k: v for k, v in batch.inputs.items() if k in signature(find).parameters}
        assert torch.equal(positions(model.network, batch.inputs), find(**given)[0])
    if kind == "pictures":
        assert rows == [5]  # of six: the third is like the first

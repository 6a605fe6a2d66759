"""The same model, shown items otherwise: other frames, other budgets of pixels."""

from types import SimpleNamespace

import numpy as np
import pytest
from transformers.models.glm4v.image_processing_glm4v import Glm4vImageProcessor
from transformers.models.idefics2.image_processing_idefics2 import Idefics2ImageProcessor
from transformers.models.idefics3.image_processing_idefics3 import Idefics3ImageProcessor
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil
from transformers.models.qwen3_vl.video_processing_qwen3_vl import Qwen3VLVideoProcessor

import savs
from savs.artifact.artifact import describe
from savs.data.media import open_media
from savs.engine.prompts import Processed, Prompt, preprocess
from savs.errors import ArtifactMismatch, UnsupportedModel
from savs.model.pixels import has_budget, sizes_of, with_budget
from tests.savs.data.drawing import noise, write_clip
from tests.savs.readout.test_artifact import make

TOKEN = 28 * 28  # pixels that become one token of these models
OWN = {"longest_edge": 84 * 84, "shortest_edge": 84 * 84}


def shown(model: savs.Model, *media: str) -> Processed:
    prompt = Prompt(tuple(open_media(address, model.sampling) for address in media), "What is it?")
    [(_, batch)], errors = preprocess(model, [prompt])
    assert not errors
    return batch


def tokens(model: savs.Model, address: str) -> int:
    """Tokens that the picture or video at `address` becomes."""
    network = model.network.config
    ids = shown(model, address).inputs["input_ids"]
    return int(((ids == network.image_token_id) | (ids == network.video_token_id)).sum())


@pytest.fixture(scope="module")
def picture(tmp_path_factory: pytest.TempPathFactory) -> str:
    """224 × 224 pixels."""
    path = tmp_path_factory.mktemp("budgets") / "picture.png"
    noise(224, 224).save(path)
    return str(path)


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> str:
    """24 frames of 224 × 224 pixels, at 8 a second: three seconds."""
    return str(write_clip(tmp_path_factory.mktemp("budgets") / "clip.mp4", 24, 8, 224, 224))


def test_a_budget_of_pixels_says_how_many_tokens_a_picture_becomes(model: savs.Model, picture: str) -> None:
    assert tokens(model, picture) == 9
    assert tokens(model.shown(max_pixels=4 * TOKEN), picture) == 4
    assert tokens(model.shown(min_pixels=16 * TOKEN), picture) == 16
    assert tokens(model.shown(min_pixels=1, max_pixels=100 * TOKEN), picture) == 64  # as large as it is


def test_a_budget_holds_for_each_frame_of_a_qwen_video(model: savs.Model, clip: str) -> None:
    short = model.shown(frames=4)  # two of which are a step
    assert tokens(short, clip) == 2 * 9
    assert tokens(short.shown(max_pixels=4 * TOKEN), clip) == 2 * 4


def test_frames_are_those_that_were_asked_for(model: savs.Model, clip: str) -> None:
    assert shown(model.shown(frames=4), clip).inputs["video_grid_thw"][0, 0] == 2
    assert shown(model.shown(fps=2), clip).inputs["video_grid_thw"][0, 0] == 3
    assert model.shown(fps=2).shown(max_pixels=TOKEN).sampling == savs.FrameSampling(None, 2)
    with pytest.raises(ValueError, match="either"):
        model.shown(frames=4, fps=2)


def test_the_model_itself_stays_as_it_is(model: savs.Model, picture: str, clip: str) -> None:
    before = describe(model)
    other = model.shown(frames=2, max_pixels=4 * TOKEN)
    tokens(other, picture)
    tokens(other, clip)
    assert describe(model) == before and tokens(model, picture) == 9
    assert describe(other).prompt != before.prompt
    assert model.shown() == model


def test_an_end_that_lies_beyond_the_other_takes_it_along(qwen2: savs.Model) -> None:
    lower = sizes_of(qwen2.shown(max_pixels=5000).processor)
    higher = sizes_of(qwen2.shown(min_pixels=9000).processor)
    wider = sizes_of(qwen2.shown(min_pixels=1000, max_pixels=9000).processor)
    assert sizes_of(qwen2.processor) == {"image_processor": OWN, "video_processor": OWN}
    for part in ("image_processor", "video_processor"):
        assert lower[part] == {"longest_edge": 5000, "shortest_edge": 5000}
        assert higher[part] == {"longest_edge": 9000, "shortest_edge": 9000}
        assert wider[part] == {"longest_edge": 9000, "shortest_edge": 1000}


@pytest.mark.parametrize("part", [Qwen2VLImageProcessorPil(), Qwen3VLVideoProcessor(), Glm4vImageProcessor()])
def test_processors_of_qwens_kind_have_a_budget(part: object) -> None:
    processor = SimpleNamespace(image_processor=part)
    changed = with_budget(processor, "a model", 1000, 9000)
    assert has_budget(part) and sizes_of(changed)["image_processor"]["longest_edge"] == 9000
    assert sizes_of(processor)["image_processor"]["longest_edge"] != 9000


@pytest.mark.parametrize("part", [Idefics2ImageProcessor(), Idefics3ImageProcessor()])
def test_edges_are_no_budget_whatever_they_are_called(part: object) -> None:
    with pytest.raises(UnsupportedModel, match=r"a model: its image_processor \(Idefics.*no pixel budget"):
        with_budget(SimpleNamespace(image_processor=part), "a model", None, 9000)


def test_a_model_without_pictures_has_no_budget_to_set() -> None:
    with pytest.raises(UnsupportedModel, match="neither images nor videos"):
        with_budget(SimpleNamespace(), "a model", 1, None)


def test_an_artifact_shows_items_as_it_was_made_to_and_only_to_its_own_model(
    qwen2: savs.Model, qwen2_5: savs.Model, picture: str
) -> None:
    sizes = tuple((layer.heads, layer.head_dim) for layer in qwen2.layout.layers)
    small = qwen2.shown(fps=3, max_pixels=4 * TOKEN)
    artifact = make(sizes, origin=describe(small))

    with pytest.raises(ArtifactMismatch, match="set up with"):
        artifact.check(qwen2)  # strictly
    prepared = artifact.prepared(qwen2)

    assert describe(prepared) == describe(small)
    assert tokens(prepared, picture) == 4 and tokens(qwen2, picture) == 9
    sample = savs.Sample(0, "0", (picture,), "What is it?")
    one, other = (savs.extract(m, [sample]).vectors.values for m in (prepared, small))
    assert np.array_equal(one, other)
    with pytest.raises(ArtifactMismatch, match="was made with"):
        artifact.prepared(qwen2_5)


@pytest.mark.parametrize("fps", [float("nan"), float("inf"), -1.0])
def test_a_rate_that_is_none_is_refused(fps: float) -> None:
    with pytest.raises(ValueError, match="finite"):
        savs.FrameSampling(None, fps)

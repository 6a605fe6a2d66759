"""Every family end to end: pictures, videos and texts give what transformers itself gives, whatever
else is in the batch, and what a family cannot take is told."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import savs
from savs.data.media import open_media
from savs.data.video.sampling import Video
from savs.engine.packing import Budget
from savs.engine.prompts import Prompt, preprocess
from savs.errors import UnusablePrompt
from tests import oracle
from tests.checkpoints import FAMILIES
from tests.savs.data.drawing import noise, write_clip

WITH_VIDEO = ["glm4_1v", "glm4_6v", "internvl", "llava_onevision", "qwen2_5_vl", "qwen2_vl", "qwen3_vl"]
WITH_VIDEO += ["smolvlm"]
WITHOUT_VIDEO = sorted(set(FAMILIES) - set(WITH_VIDEO))
ONE_KIND_AN_ITEM = {"glm4_1v", "glm4_6v", "smolvlm"}  # pictures or videos, not both
QUESTION = "What is shown here?"

FamilyModel = Callable[[str], savs.Model]


@pytest.fixture(scope="session")
def media(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Pictures of several shapes, and two videos."""
    folder = tmp_path_factory.mktemp("media")
    sizes = {"square": (84, 84), "high": (56, 140), "wide": (200, 100), "small": (40, 30)}
    paths = {}
    for seed, (name, (width, height)) in enumerate(sizes.items()):
        paths[name] = str(folder / f"{name}.png")
        noise(width, height, seed).save(paths[name])
    paths["clip"] = str(write_clip(folder / "clip.mp4", 24, 8, 140, 56))
    paths["other"] = str(write_clip(folder / "other.mp4", 20, 10, 64, 64))
    return paths


def rows_of(family: str, media: dict[str, str]) -> list[savs.Sample]:
    """Eight items: one picture, two of them, none, and videos where the family takes them."""
    shown = [
        (("square",), "Shape?"),
        (("high",), "What colour is the large thing in the middle of this picture, and why?"),
        ((), "Is the sea blue?"),
        (("wide", "high"), QUESTION),
        (("small",), "How many are there? " * 8),
        (("wide", "small", "square"), "Which is the odd one out?"),
        (("clip",), "Where does it go?") if family in WITH_VIDEO else ((), "Name a fruit."),
        (("other",), "Up or down, or to the left?") if family in WITH_VIDEO else (("wide",), QUESTION),
    ]
    return [
        savs.Sample(i, str(i), tuple(media[name] for name in names), question)
        for i, (names, question) in enumerate(shown)
    ]


@pytest.mark.parametrize("family", FAMILIES)
def test_vectors_are_those_of_transformers_own_chat_function(
    family_model: FamilyModel, media: dict[str, str], family: str
) -> None:
    # given items with a picture, several, none, and a video, in one batch
    model = family_model(family)
    samples = rows_of(family, media)
    found = savs.extract(model, samples, budget=Budget(8 * 60, 10**9))
    assert not found.errors
    # if transformers prepares each alone, with the frames that the model is shown
    lmm = oracle.Lmm(model.network, model.processor, model.sampling.frames)
    for sample, vectors in zip(found.samples, found.vectors.values, strict=True):
        shown: list[Image.Image | oracle.Clip] = []
        for address in sample.media:
            opened = open_media(address, model.sampling)
            shown.append(clip_of(address, opened) if isinstance(opened, Video) else opened)
        expected = oracle.activations(lmm, oracle.Example(shown, str(sample.question)))
        # then both read the same
        assert np.abs(vectors - expected.reshape(-1).numpy()).max() < 1e-5, sample
    # and items differ
    assert len(np.unique(found.vectors.values.round(3), axis=0)) == len(samples)


def clip_of(address: str, video: Video) -> oracle.Clip:
    """The whole clip where transformers chooses frames by number, else the frames that were chosen."""
    clip = oracle.read_clip(address)
    return oracle.Clip(clip.frames, clip.fps, list(video.indices))


@pytest.mark.parametrize("family", FAMILIES)
def test_a_batch_of_eight_gives_what_its_items_give_alone(
    family_model: FamilyModel, media: dict[str, str], family: str
) -> None:
    model = family_model(family)
    samples = rows_of(family, media)
    together = savs.extract(model, samples, budget=Budget(8 * 60, 10**9)).vectors.values
    alone = savs.extract(model, samples, budget=Budget(1, 10**9)).vectors.values
    for head, columns in model.layout.slices().items():
        a, b = together[:, columns], alone[:, columns]
        lengths = np.linalg.norm(a, axis=1), np.linalg.norm(b, axis=1)
        assert ((a * b).sum(axis=1) / (lengths[0] * lengths[1])).min() >= 0.9999, head
        assert np.allclose(*lengths, rtol=1e-3), head


@pytest.mark.parametrize("family", FAMILIES)
def test_a_family_that_is_asked_itself_says_in_a_batch_what_it_says_alone(
    family_model: FamilyModel, media: dict[str, str], family: str
) -> None:
    # given items of every kind, of which half are enough here
    model = family_model(family)
    asked = [
        Prompt(tuple(open_media(address, model.sampling) for address in sample.media), str(sample.question))
        for sample in rows_of(family, media)[::2] + rows_of(family, media)[-1:]
    ]
    names = ("red", "a blue one", "green")

    shares, texts = savs.likeliest(model, asked, names), savs.generate(model, asked, 3)

    for prompt, share, text in zip(asked, shares, texts, strict=True):
        [alone] = savs.likeliest(model, [prompt], names)
        assert isinstance(share, dict) and share == pytest.approx(alone, abs=1e-4)
        assert savs.generate(model, [prompt], 3) == [text] and isinstance(text, str)


@pytest.mark.parametrize("family", FAMILIES)
def test_examples_are_enough_to_tell_pictures_apart(
    family_model: FamilyModel, corner_pictures: list[savs.Sample], family: str
) -> None:
    model = family_model(family)
    train, test = corner_pictures[::2], corner_pictures[1::2]
    readout = savs.fit(savs.extract(model, train).vectors, [str(s.label) for s in train], heads=5)
    answers = savs.classify(readout, savs.extract(model, test).vectors)
    assert [a.prediction for a in answers] == [s.label for s in test]


@pytest.mark.parametrize("family", FAMILIES)
def test_pictures_stand_where_the_questions_marks_are(
    family_model: FamilyModel, media: dict[str, str], family: str
) -> None:
    # given a question with marks for its pictures
    model = family_model(family)
    pictures = tuple(open_media(media[name], model.sampling) for name in ("square", "high"))
    [(_, batch)], errors = preprocess(
        model, [Prompt(pictures, "Compare <image> very carefully to <image> now")]
    )
    assert not errors
    # then the pictures' tokens are between its words
    network = model.network.config
    token = getattr(network, "image_token_id", None) or network.image_token_index
    ids = batch.inputs["input_ids"][0].tolist()
    places = [i for i, number in enumerate(ids) if number == token]
    words = model.processor.tokenizer.decode([number for number in ids if number != token])
    before = model.processor.tokenizer.decode(ids[: places[0]])
    behind = model.processor.tokenizer.decode(ids[places[-1] :])
    assert "Compare" in before and "carefully" not in before
    assert "now" in behind and "carefully" not in behind
    assert "carefully to" in words
    # and the model reads it
    [vectors] = savs.extract(
        model, [savs.Sample(0, "0", (media["square"], media["high"]), "Is <image> like <image>?")]
    ).vectors.values
    assert np.isfinite(vectors).all()


@pytest.mark.parametrize("family", WITHOUT_VIDEO)
def test_a_video_costs_its_row_where_a_family_takes_none(
    family_model: FamilyModel, media: dict[str, str], family: str
) -> None:
    model = family_model(family)
    picture, clip = (
        savs.Sample(0, "0", (media["square"],), QUESTION),
        savs.Sample(1, "1", (media["clip"],), QUESTION),
    )
    found = savs.extract(model, [picture, clip])
    assert found.samples == (picture,)
    assert isinstance(found.errors[1], UnusablePrompt)
    assert "does not accept videos" in str(found.errors[1])


@pytest.mark.parametrize("family", WITH_VIDEO)
def test_a_picture_beside_a_video_is_shown_or_costs_its_row(
    family_model: FamilyModel, media: dict[str, str], family: str
) -> None:
    # given an item with both among others
    model = family_model(family)
    shown = [("clip",), ("clip", "square"), ("square",)]
    samples = [
        savs.Sample(i, str(i), tuple(media[name] for name in names), QUESTION)
        for i, names in enumerate(shown)
    ]
    found = savs.extract(model, samples)
    # then it is read, or told of, and the others are there
    if family in ONE_KIND_AN_ITEM:
        assert [s.index for s in found.samples] == [0, 2]
        assert str(found.errors[1]).startswith("the model refuses the item: Image features and image tokens")
    else:
        assert not found.errors


@pytest.mark.parametrize("family", WITH_VIDEO)
def test_videos_of_different_numbers_of_frames_do_not_disturb_each_other(
    family_folder: Callable[[str], Path], media: dict[str, str], family: str
) -> None:
    # given two videos of 6 and of 4 frames
    by_rate = savs.FrameSampling(frames=None, fps=2.0)
    model = savs.load_model(family_folder(family), device="cpu", sampling=by_rate)
    samples = [savs.Sample(i, str(i), (media[n],), QUESTION) for i, n in enumerate(("clip", "other"))]
    assert [len(open_media(s.media[0], by_rate).frames) for s in samples] == [6, 4]
    # if they are read together
    together = savs.extract(model, samples, budget=Budget(2 * 60, 10**9))
    alone = savs.extract(model, samples, budget=Budget(1, 10**9))
    # then they are what they are alone
    assert not together.errors
    assert np.abs(together.vectors.values - alone.vectors.values).max() < 1e-3


@pytest.mark.parametrize(
    ("family", "times"),
    [
        ("qwen3_vl", ["<0.2 seconds>", "<1.2 seconds>", "<2.2 seconds>"]),  # means of two frames
        ("glm4_1v", ["<|end_of_image|>0", "<|end_of_image|>1", "<|end_of_image|>2"]),
        ("glm4_6v", ["<|end_of_image|>0.0 seconds", "<|end_of_image|>1.0 s", "<|end_of_image|>2.0 s"]),
        ("smolvlm", ["six frames from a 0:00:03", "from 00:00:", "from 00:01:", "from 00:02:"]),
        ("internvl", ["Frame1: ", "Frame6: "]),
    ],
)
def test_times_that_prompts_spell_out_are_true(
    family_folder: Callable[[str], Path], media: dict[str, str], family: str, times: list[str]
) -> None:
    # given three seconds, of which two frames a second are shown: 0, 0.5, 1, 1.5, 2 and 2.5 s
    by_rate = savs.FrameSampling(frames=None, fps=2.0)
    model = savs.load_model(family_folder(family), device="cpu", sampling=by_rate)
    video = open_media(media["clip"], by_rate)
    [(_, batch)], _ = preprocess(model, [Prompt((video,), QUESTION)])
    text = model.processor.tokenizer.decode(batch.inputs["input_ids"][0])
    places = [text.find(time) for time in times]
    assert places == sorted(places) and places[0] >= 0, text


def test_llava_onevision_is_shown_one_picture_in_tiles_and_several_whole(
    family_model: FamilyModel, media: dict[str, str]
) -> None:
    # as it was trained: tiles of a picture that is alone, and a copy of the whole before them
    model = family_model("llava_onevision")
    wide = open_media(media["wide"], model.sampling)
    batch = preprocess(model, [Prompt((wide,), "Which?"), Prompt((wide, wide), "Which?")])[0][0][1]
    token = model.network.config.image_token_index
    alone, several = (batch.inputs["input_ids"] == token).sum(dim=1).tolist()
    assert several == 2 * (9 + 1)  # a token more at the end of each
    assert alone > 9 + 2 * 9

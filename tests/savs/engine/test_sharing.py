"""Several questions in one row give what each gives alone; and where they do not, no row is shared."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

import savs
from savs.engine.batches import Batch
from savs.engine.forward import read_vectors
from savs.engine.sharing import join
from savs.errors import ItemTooLong, UnusablePrompt
from savs.timings import Timings
from tests.savs.data.drawing import noise, write_clip

QUESTIONS = (
    "Shape?",
    "Which colour is the large thing in the middle of it, and what is behind it?",
    "Is it round?",
    "Shape?",
    "How many are there, if the small ones count as well?",
)
SHARES = ("llava_onevision", "llava_next", "internvl", "qwen3_vl", "glm4_1v", "idefics3", "mistral3")


@pytest.fixture(scope="module")
def media(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("media")
    for seed, (name, size) in enumerate({"wide": (200, 90), "square": (84, 84)}.items()):
        noise(*size, seed).save(folder / f"{name}.png")
    write_clip(folder / "clip.mp4", 16, 8, 84, 56)
    write_clip(folder / "slow.mp4", 16, 1, 56, 28)  # in time it is longer than it is wide
    return {name: str(next(folder.glob(f"{name}.*"))) for name in ("wide", "square", "clip", "slow")}


def asked(shown: list[tuple[str, ...]]) -> list[savs.Sample]:
    """Every question about every one of `shown`, the questions outermost: media come again and again."""
    pairs = [(paths, question) for question in QUESTIONS for paths in shown]
    return [savs.Sample(i, str(i), paths, question) for i, (paths, question) in enumerate(pairs)]


def same(a: savs.Extraction, b: savs.Extraction) -> None:
    assert a.samples == b.samples and not a.errors and not b.errors
    for head, columns in a.vectors.layout.slices().items():
        one, other = a.vectors.values[:, columns], b.vectors.values[:, columns]
        lengths = np.linalg.norm(one, axis=1) * np.linalg.norm(other, axis=1)
        assert ((one * other).sum(axis=1) / lengths).min() >= 0.9999, head


def test_pictures_pairs_and_videos_give_in_shared_rows_what_they_give_alone(
    model: savs.Model, media: dict[str, str]
) -> None:
    assert model.shares
    rows = asked([(media["wide"],), (media["clip"],), (media["square"], media["wide"]), (media["square"],)])
    timings = Timings()

    shared = savs.extract(model, rows, timings=timings)

    same(shared, savs.extract(replace(model, shares=False), rows))
    # and the media were shown once for all questions
    assert timings.counts["items"] == len(rows) == 20
    assert timings.counts["pixels"] == 2 * 84 * 84 + 2 * 200 * 90 + model.sampling.frames * 84 * 56


@pytest.mark.parametrize("family", ["qwen2_5", "qwen2", "qwen3_vl", "glm4_1v", "llava_onevision"])
def test_questions_about_a_long_video_stand_where_they_stand_alone(
    request: pytest.FixtureRequest,
    family: str,
    family_model: Callable[[str], savs.Model],
    media: dict[str, str],
) -> None:
    # behind a video some models count on from its height and width, though its last frames lie beyond
    model = request.getfixturevalue(family) if family.startswith("qwen2") else family_model(family)
    rows = asked([(media["slow"],), (media["clip"],)])

    same(savs.extract(model, rows), savs.extract(replace(model, shares=False), rows))


@pytest.mark.parametrize("family", SHARES)
def test_other_families_share_too(
    family: str, family_model: Callable[[str], savs.Model], media: dict[str, str]
) -> None:
    model = family_model(family)
    assert model.shares
    rows = asked([(media["wide"],), (media["square"],)])

    same(savs.extract(model, rows), savs.extract(replace(model, shares=False), rows))


def test_a_question_that_cannot_be_shown_costs_only_itself(qwen2: savs.Model, media: dict[str, str]) -> None:
    placeholder = qwen2.processor.image_token
    rows = [
        savs.Sample(0, "0", (media["square"],), "Shape?"),
        savs.Sample(1, "1", (media["square"],), f"What is {placeholder} here?"),
        savs.Sample(2, "2", (media["square"],), "red " * (qwen2.context + 1)),
        savs.Sample(3, "3", (media["square"],), "Two <image> marks <image> for one picture?"),
        savs.Sample(4, "4", (media["square"],), "Colour?"),
    ]

    found = savs.extract(qwen2, rows)

    assert {i: type(e) for i, e in found.errors.items()} == {
        1: UnusablePrompt,
        2: ItemTooLong,
        3: UnusablePrompt,
    }
    good = savs.extract(replace(qwen2, shares=False), [rows[0], rows[4]])
    assert found.samples == good.samples
    assert np.allclose(found.vectors.values, good.vectors.values, atol=1e-3)


def test_nothing_above_the_last_layer_that_is_read_is_run(qwen2_5: savs.Model) -> None:
    ran: list[int] = []
    layers = qwen2_5.network.model.language_model.layers
    hooks = [
        part.register_forward_hook(lambda *_, n=n: ran.append(n))
        for n, layer in enumerate(layers)
        for part in (layer, layer.self_attn.o_proj)
    ]
    ids = qwen2_5.processor.tokenizer("Is it red?", return_tensors="pt")["input_ids"]
    layout = qwen2_5.layout.only({1, 3})
    try:
        read = read_vectors(qwen2_5, Batch({"input_ids": ids}, (), (0,), (0,), (2,)), {1, 3})
    finally:
        for hook in hooks:
            hook.remove()

    assert read.shape == (1, layout.width)
    assert sorted(set(ran)) == [0, 1, 2]  # layer 3 was begun and ended at its projection


def test_prompts_are_joined_behind_all_media_or_not_at_all() -> None:
    media = frozenset({9})
    joined = join([1, 9, 9, 9, 2, 3], [[1, 9, 2, 3], [1, 9, 2, 4, 5]], media)
    assert joined is not None and (joined.beginning, joined.ends) == ([1, 9, 9, 9, 2], [[3], [4, 5]])
    # the question stands before the picture
    assert join([7, 9, 9, 3], [[7, 9, 3], [8, 9, 3]], media) is None
    # of equal prompts the last token is read twice
    joined = join([1, 9, 9, 2], [[1, 9, 2], [1, 9, 2]], media)
    assert joined is not None and (joined.beginning, joined.ends) == ([1, 9, 9], [[2], [2]])
    # a question that spells out a placeholder
    assert join([1, 9, 9, 2], [[1, 9, 2], [1, 9, 9]], media) is None


def test_no_shared_row_is_longer_than_what_a_layer_looks_back(
    family_model: Callable[[str], savs.Model], media: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    model = family_model("mistral3")
    rows = asked([(media["square"],)])
    timings = [Timings(), Timings()]

    for window, timing in zip((None, 30), timings, strict=True):
        monkeypatch.setattr("savs.engine.batches.window_of", lambda _, window=window: window)
        savs.extract(model, rows, timings=timing)

    assert timings[0].counts["pixels"] == 84 * 84
    assert timings[1].counts["pixels"] == len(rows) * 84 * 84

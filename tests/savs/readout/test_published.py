"""The library gives what the published procedure gives, ties included."""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import AutoModelForImageTextToText, AutoProcessor

import savs
from tests import oracle
from tests.savs.data.drawing import CLASSES, draw, write_video

QUESTION = "What is shown here?"
OpenedRequest = Literal["picture", "two pictures", "video"]

# What the oracle is shown of a video: as published for LLaVA-OneVision, or as Qwen's processor chooses.
FRAMES = {"llava_onevision": {"frames": 16}, "qwen2_vl": {"fps": 2.0}, "qwen2_5_vl": {"fps": 2.0}}


def draw_examples(
    folder: Path, first_seed: int, count: int, shown: OpenedRequest
) -> tuple[list[savs.Sample], list[oracle.Example]]:
    """The same rows for the library, as files, and for the oracle, in memory."""
    samples, examples = [], []
    for index in range(count):
        label = CLASSES[(index * index + index // 2) % 3]
        seed, path = first_seed + 2 * index, folder / f"{first_seed}-{index}"
        if shown == "video":
            clip = write_video(path.with_suffix(".mp4"), moving(draw(label, seed), 18 + index % 7), 8)
            media: list[Image.Image | oracle.Clip] = [oracle.read_clip(str(clip))]
            paths = [str(clip)]
        else:
            pictures = [draw(label, seed + i) for i in range(1 + (shown == "two pictures"))]
            paths = [f"{path}-{number}.png" for number in range(len(pictures))]
            for picture, place in zip(pictures, paths, strict=True):
                picture.save(place)
            media = [*pictures]
        samples.append(savs.Sample(index, str(index), tuple(paths), QUESTION, label))
        examples.append(oracle.Example(media, QUESTION, label))
    return samples, examples


def moving(picture: Image.Image, frames: int) -> list[np.ndarray]:
    """A picture that moves to the right, so that it matters which frames are shown."""
    return [np.roll(np.asarray(picture), 4 * number, axis=1) for number in range(frames)]


def labels_of(samples: Sequence[savs.Sample]) -> list[str]:
    return [str(s.label) for s in samples]


def check_parity(folder: Path, lmm: oracle.Lmm, place: Path, shown: OpenedRequest, k: int) -> None:
    # given a checkpoint, loaded once by transformers alone and once by the library, and drawn examples
    # of three classes
    model = savs.load_model(folder, device="cpu")
    train, train_shown = draw_examples(place, 0, 12, shown)
    test, test_shown = draw_examples(place, 1000, 9, shown)

    # if both fit, and both answer
    published = oracle.fit(lmm, train_shown, k)
    expected = [oracle.vote(lmm, published, example) for example in test_shown]
    readout = savs.fit(savs.extract(model, train).vectors, labels_of(train), heads=k)
    answers = savs.classify(readout, savs.extract(model, test).vectors)

    # then they chose the same heads in the same order, with the same centroids but for rounding
    assert readout.classes == tuple(published.classes)
    assert [tuple(head) for head in readout.heads.tolist()] == published.heads
    for (layer, head), centroids in zip(published.heads, readout.centroids, strict=True):
        theirs = published.centroids[:, layer, head].numpy()
        assert np.abs(centroids - theirs).max() < 1e-5 * np.abs(theirs).max()

    # and every item has the same votes and the same label
    assert [a.prediction for a in answers] == [prediction for prediction, _ in expected]
    assert [{c: n for c, n in a.votes.items() if n} for a in answers] == [dict(v) for _, v in expected]

    # and the task is not so easy that anything would pass
    assert len({tuple(a.votes.values()) for a in answers}) > 1


@pytest.mark.parametrize("shown", ["picture", "two pictures", "video"])
@pytest.mark.parametrize("family", FRAMES)
def test_heads_votes_and_predictions_are_those_of_the_published_procedure(
    request: pytest.FixtureRequest, tmp_path: Path, family: str, shown: OpenedRequest
) -> None:
    folder = request.getfixturevalue("family_folder")(family)
    check_parity(folder, loaded(folder, **FRAMES[family]), tmp_path, shown, k=5)


def test_ties_among_many_heads_are_broken_as_published(qwen2_5_vl: Path, tmp_path: Path) -> None:
    # with 72 heads and 12 examples most of the best have equal scores
    check_parity(qwen2_5_vl, loaded(qwen2_5_vl), tmp_path, "picture", k=20)


def loaded(folder: Path, frames: int | None = None, fps: float | None = None) -> oracle.Lmm:
    network = AutoModelForImageTextToText.from_pretrained(folder, dtype=torch.float32).eval()
    return oracle.Lmm(network, AutoProcessor.from_pretrained(folder), frames, fps)

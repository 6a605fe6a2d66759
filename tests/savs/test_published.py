"""The library gives what the published procedure gives, ties included."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoModelForImageTextToText, AutoProcessor

import savs
from tests import oracle
from tests.savs.drawing import CLASSES, draw

QUESTION = "What is shown here?"


def draw_examples(
    folder: Path, first_seed: int, count: int, pictures: int
) -> tuple[list[savs.Sample], list[oracle.Example]]:
    """The same rows for the library, as files, and for the oracle, in memory."""
    samples, examples = [], []
    for index in range(count):
        label = CLASSES[(index * index + index // 2) % 3]
        shown = [draw(label, first_seed + pictures * index + i) for i in range(pictures)]
        paths = []
        for number, picture in enumerate(shown):
            path = folder / f"{first_seed}-{index}-{number}.png"
            picture.save(path)
            paths.append(str(path))
        samples.append(savs.Sample(index, str(index), tuple(paths), QUESTION, label))
        examples.append(oracle.Example(shown, QUESTION, label))
    return samples, examples


def labels_of(samples: Sequence[savs.Sample]) -> list[str]:
    return [str(s.label) for s in samples]


@pytest.mark.parametrize("pictures", [1, 2])
@pytest.mark.parametrize(("checkpoint", "k"), [("qwen2_5_vl", 20), ("qwen2_vl", 5)])
def test_heads_votes_and_predictions_are_those_of_the_published_procedure(
    request: pytest.FixtureRequest, tmp_path: Path, checkpoint: str, k: int, pictures: int
) -> None:
    # given a checkpoint, loaded once by transformers alone and once by the library
    folder = request.getfixturevalue(checkpoint)
    network = AutoModelForImageTextToText.from_pretrained(folder, dtype=torch.float32).eval()
    processor = AutoProcessor.from_pretrained(folder)
    model = savs.load_model(folder, device="cpu")
    heads = model.layout.layers[0].heads

    # and drawn examples of three classes
    train, train_shown = draw_examples(tmp_path, 0, 24, pictures)
    test, test_shown = draw_examples(tmp_path, 1000, 16, pictures)

    # if both fit, and both answer
    published = oracle.fit(network, processor, train_shown, heads, k)
    expected = [oracle.vote(network, processor, published, e, heads) for e in test_shown]
    readout = savs.fit(savs.extract(model, train).vectors, labels_of(train), heads=k)
    answers = savs.classify(readout, savs.extract(model, test).vectors)

    # then they chose the same heads in the same order, with the same centroids
    assert readout.classes == tuple(published.classes)
    assert [tuple(head) for head in readout.heads.tolist()] == published.heads
    for (layer, head), centroids in zip(published.heads, readout.centroids, strict=True):
        assert np.abs(centroids - published.centroids[:, layer, head].numpy()).max() < 1e-5

    # and every item has the same votes and the same label
    assert [a.prediction for a in answers] == [prediction for prediction, _ in expected]
    assert [{c: n for c, n in a.votes.items() if n} for a in answers] == [dict(v) for _, v in expected]

    # and the task is not so easy that anything would pass
    assert len({tuple(a.votes.values()) for a in answers}) > 1

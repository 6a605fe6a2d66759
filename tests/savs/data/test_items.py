"""What `extract` takes for an item, and how items are numbered."""

from pathlib import Path

import numpy as np
import pytest

from savs.data.items import samples_of
from savs.data.samples import Sample
from savs.errors import SettingsError
from tests.savs.data.drawing import noise


def test_a_path_is_a_sample_with_one_file() -> None:
    samples = samples_of(["a.jpg", Path("b") / "c.mp4"])

    assert [sample.media for sample in samples] == [("a.jpg",), ("b/c.mp4",)]


def test_a_dict_is_read_like_a_row_of_a_manifest() -> None:
    row = {"image": ["a.jpg", Path("b.jpg")], "question": "Same?", "label": "yes", "question_id": 7}

    assert samples_of([row]) == [Sample(0, "7", ("a.jpg", "b.jpg"), "Same?", "yes")]


def test_one_image_in_memory_has_one_address_wherever_it_is_shown() -> None:
    one, other = noise(8, 6, 0), np.zeros((6, 8, 3), np.uint8)

    samples = samples_of([one, {"image": one}, {"image": [other, "a.jpg"]}, Sample(media=one)])

    assert samples[0].media == samples[1].media == samples[3].media != samples[2].media[:1]


def test_images_that_nobody_else_keeps_have_an_address_each() -> None:
    samples = samples_of(np.full((4, 4), n, np.uint8) for n in range(50))

    assert len({sample.media for sample in samples}) == 50


def test_samples_without_an_index_are_numbered_in_their_order() -> None:
    samples = samples_of([Sample(media="a.jpg"), "b.jpg", Sample(0, "first", ("c.jpg",))])

    assert [(sample.index, sample.id) for sample in samples] == [(0, "0"), (1, "1"), (2, "first")]


def test_samples_of_two_manifests_with_the_same_indices_are_numbered_anew() -> None:
    samples = samples_of([Sample(0, "cat"), Sample(1, "dog"), Sample(0, "bird")])

    assert [(sample.index, sample.id) for sample in samples] == [(0, "cat"), (1, "dog"), (2, "bird")]


def test_indices_that_differ_are_kept() -> None:
    samples = [Sample(7, "seven", ("a.jpg",)), Sample(3, "three", ("b.jpg",))]

    assert samples_of(samples) == samples


@pytest.mark.parametrize(
    "single",
    [
        "a.jpg",
        Path("a.jpg"),
        {"image": "a.jpg"},
        Sample(media="a.jpg"),
        noise(8, 6),
        np.zeros((6, 8, 3)),
        5,
        None,
    ],
)
def test_a_single_item_is_refused_and_never_taken_apart(single: object) -> None:
    with pytest.raises(SettingsError, match=rf"found one {type(single).__name__}; pass \[item\]"):
        samples_of(single)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        (5, "type int"),
        (None, "type NoneType"),
        (b"a.jpg", "type bytes"),
        (["a.jpg"], "type list"),
        (np.zeros((6, 8, 3), np.float32), r"array float32 \[6, 8, 3\].*uint8 \[height, width, 3\]"),
        (np.zeros((2, 6, 8, 3), np.uint8), r"array uint8 \[2, 6, 8, 3\]"),
        (np.zeros((6, 8, 4), np.uint8), r"array uint8 \[6, 8, 4\]"),
        (np.zeros(8, np.uint8), r"array uint8 \[8\]"),
        (np.zeros((0, 8), np.uint8), r"array uint8 \[0, 8\]"),
        ({"picture": "a.jpg"}, "neither 'image' nor 'question'"),
        ({"image": "a.jpg", "label": 3}, "'label' must be text"),
        ({"image": ["a.jpg", 3]}, "type int"),
    ],
)
def test_a_wrong_item_is_refused_with_its_place_and_the_reason(wrong: object, reason: str) -> None:
    with pytest.raises(SettingsError, match=f"item 1: .*{reason}"):
        samples_of(["a.jpg", wrong])  # type: ignore[list-item]

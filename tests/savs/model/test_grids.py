"""What a vision tower derives from the sizes of its images can be given to it, and changes nothing."""

from dataclasses import replace

import pytest
import torch
from PIL import Image

import savs
from savs.data.video.sampling import Video
from savs.engine.batches import build
from savs.engine.forward import onto_device
from savs.engine.packing import PackedRow
from savs.model.grids import grids_on_cpu
from savs.trials.vectors import vectors_of
from tests.savs.data.drawing import noise

TAKES = ("qwen2", "qwen2_5")
QUESTIONS = ("What is it?", "Is there anything else?")


def rows_of(*media: Image.Image | Video, questions: int = 1) -> list[PackedRow]:
    rows = []
    for number, one in enumerate(media):
        numbers = tuple(range(number * questions, (number + 1) * questions))
        rows.append(PackedRow((one,), QUESTIONS[:questions], numbers, 0))
    return rows


@pytest.mark.parametrize("shares", [True, False])
@pytest.mark.parametrize("name", TAKES)
def test_vectors_are_the_same_bit_by_bit(name: str, shares: bool, request: pytest.FixtureRequest) -> None:
    model = replace(request.getfixturevalue(name), shares=shares)
    pictures = [noise(*size, seed) for seed, size in enumerate(((84, 56), (56, 140), (112, 112)))]
    frames = [torch.randint(0, 256, (n, 56, 56, 3), dtype=torch.uint8).numpy() for n in (4, 6)]
    videos = [Video(one, tuple(range(len(one))), fps=2.0, total=len(one)) for one in frames]

    for rows in (rows_of(*pictures, questions=1 + shares), rows_of(*videos)):
        expected, found = (vectors_of(replace(model, derives=on), rows) for on in (False, True))
        assert all(torch.equal(found[number], vector) for number, vector in expected.items())


def test_what_is_given_is_on_the_cpu_and_so_is_the_table_of_sizes(qwen2_5: savs.Model) -> None:
    [batch], _ = build(replace(qwen2_5, derives=True), rows_of(noise(84, 56, 1)))

    patches = int(batch.inputs["image_grid_thw"].prod())
    assert batch.inputs["image_max_seqlen"] == patches
    assert batch.inputs["image_cu_seqlens"].tolist() == [0, patches]
    assert grids_on_cpu(batch.inputs) == {"image_grid_thw"}
    inputs = onto_device(qwen2_5, batch.inputs)
    assert inputs["image_grid_thw"] is batch.inputs["image_grid_thw"]

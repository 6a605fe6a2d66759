"""Bytes become pixels with the operations of torchvision, in every layout and dtype."""

import pytest
import torch
from PIL import Image
from torchvision.transforms.v2 import functional as tvF

from savs.model import raw_pixels
from savs.model.raw_pixels import Normalisation, RawPixels, planes
from tests.savs.data.drawing import noise

MEAN, STD = (122.77094268798828, 116.74601745605469, 104.09373474121094), (68.5, 66.63216400146484, 70.25)
CPU = torch.device("cpu")


def rule(repeats: int = 1) -> Normalisation:
    return Normalisation(frozenset({"pixel_values"}), MEAN, STD, repeats)


def drawn(*shape: int) -> torch.Tensor:
    return torch.randint(0, 256, shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(3))


def normalised(images: torch.Tensor) -> torch.Tensor:
    return tvF.normalize(images.float(), torch.tensor(MEAN), torch.tensor(STD))


@pytest.mark.parametrize("shape", [(2, 3, 14, 28), (2, 5, 3, 14, 14), (0, 3, 14, 14)])
def test_images_and_tiles_are_normalised_by_channel(shape: tuple[int, ...]) -> None:
    values = drawn(*shape)
    assert torch.equal(RawPixels(values, rule()).on(CPU, torch.float32), normalised(values))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16, torch.float64])
@pytest.mark.parametrize("cached", [1, 1000, 2**18])
def test_patches_are_repeated_in_time_within_each_channel(
    monkeypatch: pytest.MonkeyPatch, dtype: torch.dtype, cached: int
) -> None:
    monkeypatch.setattr(raw_pixels, "CACHED", cached)
    patches = drawn(7, 3, 1, 4, 4)  # channel, time, height, width
    expected = normalised(patches.squeeze(2)).unsqueeze(2).expand(-1, -1, 2, -1, -1).flatten(1).to(dtype)

    found = RawPixels(patches.flatten(1), rule(repeats=2)).on(CPU, dtype)

    assert found.dtype == dtype and torch.equal(found, expected)


def test_an_rgb_image_is_handed_as_planes_and_another_as_it_is() -> None:
    image, grey = noise(30, 20), Image.new("L", (30, 20))
    assert [planes(image)[channel, 7, 11] for channel in range(3)] == list(image.getpixel((11, 7)))
    assert planes(image).shape == (3, 20, 30) and planes(image).is_contiguous()
    assert planes(grey) is grey


def test_a_network_that_is_given_bytes_fails() -> None:
    with pytest.raises(TypeError):
        torch.nn.functional.linear(RawPixels(drawn(2, 3), rule()), torch.ones(3, 3))  # type: ignore[arg-type]

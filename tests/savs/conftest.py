"""The tiny checkpoints, loaded once."""

from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import savs
from tests.savs.data.drawing import noise


@pytest.fixture(scope="session")
def qwen2_5(qwen2_5_vl: Path) -> savs.Model:
    """A loaded Qwen2.5-VL: 6 layers of 12 heads."""
    return savs.load_model(qwen2_5_vl, device="cpu")


@pytest.fixture(scope="session")
def qwen2(qwen2_vl: Path) -> savs.Model:
    """A loaded Qwen2-VL: 3 layers of 4 heads."""
    return savs.load_model(qwen2_vl, device="cpu")


@pytest.fixture(scope="session")
def family_model(family_folder: Callable[[str], Path]) -> Callable[[str], savs.Model]:
    """The tiny checkpoint of a family, loaded."""
    return cache(lambda name: savs.load_model(family_folder(name), device="cpu"))


@pytest.fixture(params=["qwen2_5", "qwen2"])
def model(request: pytest.FixtureRequest) -> savs.Model:
    """Each of the two."""
    loaded: savs.Model = request.getfixturevalue(request.param)
    return loaded


@pytest.fixture(scope="session")
def corner_pictures(tmp_path_factory: pytest.TempPathFactory) -> list[savs.Sample]:
    """Twelve pictures with a bright quarter, labelled by where it is; no two are alike."""
    folder = tmp_path_factory.mktemp("corners")
    samples = []
    for index in range(12):
        label = ("top", "bottom")[index % 4 // 2]
        pixels = np.asarray(noise(84, 84, index)) // 6
        pixels = pixels if label == "bottom" else pixels[::-1]
        pixels[48:, :, :2] += 180
        path = folder / f"{index}.png"
        Image.fromarray(pixels if label == "bottom" else pixels[::-1]).save(path)
        samples.append(savs.Sample(index, str(index), (str(path),), "Where is it bright?", label))
    return samples

"""The tiny checkpoints, loaded once."""

from pathlib import Path

import pytest

import savs


@pytest.fixture(scope="session")
def qwen2_5(qwen2_5_vl: Path) -> savs.Model:
    """A loaded Qwen2.5-VL: 6 layers of 12 heads."""
    return savs.load_model(qwen2_5_vl, device="cpu")


@pytest.fixture(scope="session")
def qwen2(qwen2_vl: Path) -> savs.Model:
    """A loaded Qwen2-VL: 3 layers of 4 heads."""
    return savs.load_model(qwen2_vl, device="cpu")


@pytest.fixture(params=["qwen2_5", "qwen2"])
def model(request: pytest.FixtureRequest) -> savs.Model:
    """Each of the two."""
    loaded: savs.Model = request.getfixturevalue(request.param)
    return loaded

"""A tower is given what it derives from sizes only if the trial at load time says that nothing changes."""

from collections.abc import Callable

import pytest
import torch

import savs
from savs.trials.grids import deriving_is_exact


@pytest.mark.parametrize("family", ["qwen3_vl", "glm4_1v", "internvl"])  # the second takes some of it
def test_the_trial_holds_for_other_families(family: str, family_model: Callable[[str], savs.Model]) -> None:
    assert deriving_is_exact(family_model(family))


def test_a_tower_that_derives_something_else_is_found_out(
    qwen2_5: savs.Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    def turned(*given: object, **options: object) -> torch.Tensor:
        from transformers.vision_utils import get_vision_position_ids

        return get_vision_position_ids(*given, **options).flip(1)

    assert deriving_is_exact(qwen2_5)
    # given a tower that counts rows and columns in another order than transformers' own function
    import transformers.models.qwen2_5_vl.modeling_qwen2_5_vl as home

    def only_in_the_tower(grid: torch.Tensor, size: int, kwargs: dict[str, torch.Tensor]) -> torch.Tensor:
        return kwargs.pop("position_ids", None) if "position_ids" in kwargs else turned(grid, size)

    monkeypatch.setattr(home, "get_vision_position_ids", only_in_the_tower)

    assert not deriving_is_exact(qwen2_5)

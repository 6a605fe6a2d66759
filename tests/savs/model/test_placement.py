"""Where weights are loaded, told from sizes; weights loaded straight onto a device are the same."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForImageTextToText

from savs.errors import UnsupportedModel
from savs.model.placement import GIB, Placement

CARD = torch.device("cuda", 0)


def placed(weights: int, *cards: int) -> object:
    """The device map for weights and GPUs of so many GiB."""
    return Placement("big", weights * GIB, cards[0] * GIB, tuple(card * GIB for card in cards)).device_map(
        CARD
    )


def test_a_model_that_fits_one_gpu_is_loaded_onto_it_and_a_larger_one_onto_all() -> None:
    assert placed(16, 24, 24) == {"": CARD}
    assert placed(64, 80) == {"": CARD}
    assert placed(30, 24, 24) == "auto"


@pytest.mark.parametrize("cards", [(24,), (24, 12)])
def test_a_model_larger_than_all_gpus_is_refused_with_what_to_do(
    cards: tuple[int, ...],
) -> None:
    with pytest.raises(UnsupportedModel) as caught:
        placed(30, *cards)

    for said in ("big: 30.0 GiB", ", ".join(f"{card}.0" for card in cards) + " GiB", "without it", "smaller"):
        assert said in str(caught.value)


@pytest.mark.parametrize("elsewhere", ["cpu", "disk", torch.device("cpu")])
def test_a_model_of_which_a_part_is_not_on_a_gpu_is_refused(elsewhere: object) -> None:
    placement = Placement("big", 30 * GIB, 24 * GIB, (24 * GIB, 24 * GIB))
    placement.check({"model.visual": 0, "model.language_model": 1})
    placement.check({})

    with pytest.raises(UnsupportedModel, match=r"30\.0 GiB .* no room for lm_head"):
        placement.check({"model.visual": 0, "lm_head": elsewhere})


def test_weights_that_are_loaded_straight_onto_a_device_are_the_same(qwen2_5_vl: Path) -> None:
    plain = AutoModelForImageTextToText.from_pretrained(qwen2_5_vl, dtype="auto")
    straight = AutoModelForImageTextToText.from_pretrained(
        qwen2_5_vl, dtype="auto", device_map={"": torch.device("cpu")}
    )

    everything = {**dict(plain.named_buffers()), **plain.state_dict()}
    found = {**dict(straight.named_buffers()), **straight.state_dict()}
    assert everything.keys() == found.keys()
    assert all(torch.equal(value, found[name]) for name, value in everything.items())
    assert not any(hasattr(module, "_hf_hook") for module in straight.modules())


def test_weights_that_a_checkpoint_lacks_are_missing_on_a_device_too(
    qwen2_5_vl: Path, tmp_path: Path
) -> None:
    shutil.copytree(qwen2_5_vl, tmp_path, dirs_exist_ok=True)
    weights = load_file(tmp_path / "model.safetensors")
    missing = next(name for name in weights if name.endswith("layers.2.self_attn.o_proj.weight"))
    kept = {name: value for name, value in weights.items() if name != missing}
    save_file(kept, tmp_path / "model.safetensors", {"format": "pt"})

    _, found = AutoModelForImageTextToText.from_pretrained(
        tmp_path, device_map={"": torch.device("cpu")}, output_loading_info=True
    )

    assert [name.rpartition("layers.")[2] for name in found["missing_keys"]] == ["2.self_attn.o_proj.weight"]


def test_weights_in_two_forms_count_once(tmp_path: Path) -> None:
    from savs.model.placement import weight_files

    # given shards with an index, and all weights once more in another form
    for name in ("model-1.safetensors", "model-2.safetensors", "consolidated.safetensors"):
        (tmp_path / name).write_bytes(b"0")
    index = {
        "weight_map": {"a": "model-2.safetensors", "b": "model-1.safetensors", "c": "model-2.safetensors"}
    }
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps(index))

    assert [path.name for path in weight_files(tmp_path)] == ["model-1.safetensors", "model-2.safetensors"]

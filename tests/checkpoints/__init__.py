"""Tiny random checkpoints of published architectures, made from their real classes.

`save_qwen2_5_vl` and `save_qwen2_vl` have the demo model's tokenizer, template and pictures; those
of `FAMILIES` have templates like the published ones.
"""

from collections.abc import Callable
from pathlib import Path

import torch

from tests.checkpoints import llava, others, qwen
from tests.checkpoints.like_demo import save_qwen2_5_vl, save_qwen2_vl
from tests.checkpoints.llava import save_stretched

FAMILIES: dict[str, Callable[[Path], Path]] = {
    "llava_onevision": llava.save_llava_onevision,
    "llava_next": llava.save_llava_next,
    "internvl": llava.save_internvl,
    "qwen2_vl": qwen.save_qwen2_vl,
    "qwen2_5_vl": qwen.save_qwen2_5_vl,
    "qwen3_vl": qwen.save_qwen3_vl,
    "glm4_1v": qwen.save_glm4_1v,
    "glm4_6v": qwen.save_glm4_6v,
    "gemma3": others.save_gemma3,
    "idefics3": others.save_idefics3,
    "smolvlm": others.save_smolvlm,
    "mistral3": others.save_mistral3,
}


def save_family(name: str, folder: Path, seed: int = 5) -> Path:
    """The checkpoint of a name of `FAMILIES`, the same every time."""
    torch.manual_seed(seed)
    return FAMILIES[name](folder)


__all__ = ["FAMILIES", "save_family", "save_qwen2_5_vl", "save_qwen2_vl", "save_stretched"]

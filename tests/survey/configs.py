"""A config of every image-text-to-text type, and networks without weights."""

from collections.abc import Callable
from typing import Any
from unittest import mock

import torch
import transformers
from transformers import AutoConfig
from transformers.initialization import no_init_weights
from transformers.models.auto.modeling_auto import MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES

CLASSES: dict[str, str] = dict(MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES)
TYPES = sorted(CLASSES)


def text_of(config: Any) -> Any:
    return config.get_text_config(decoder=True)


def _text(**values: Any) -> Callable[[Any], None]:
    return lambda config: _set(text_of(config), values)


def _whole(**values: Any) -> Callable[[Any], None]:
    return lambda config: _set(config, values)


def _vision(**values: Any) -> Callable[[Any], None]:
    return lambda config: _set(config.vision_config, values)


def _set(config: Any, values: dict[str, Any]) -> None:
    for name, value in values.items():
        setattr(config, name, value)


# Default configs that transformers cannot build, what is amiss with them, and what fills the gap.
INCOMPLETE: dict[str, tuple[str, Callable[[Any], None]]] = {
    "aya_vision": ("14 vision heads in 1152 numbers", _vision(num_attention_heads=16)),
    "chameleon": ("no vocabulary map", _whole(vocabulary_map={"<image>": 4})),
    "cohere_compass": (
        "no rotary parameters",
        _text(rope_parameters={"full_attention": {"rope_type": "default", "rope_theta": 10000.0}}),
    ),
    "deepseek_ocr2": (
        "no kinds of MLPs",
        _text(mlp_layer_types=["dense"] + ["sparse"] * 31, num_experts_per_tok=6),
    ),
    "diffusion_gemma": (
        "no number of experts",
        _text(num_experts=4, top_k_experts=2, moe_intermediate_size=32),
    ),
    "emu3": ("no vocabulary map", _whole(vocabulary_map={"<image>": 4})),
    "granite4_vision": (
        "no map from vision to text layers",
        _whole(deepstack_layer_map=[(-1, 0)], downsample_rate="4/8"),
    ),
    "hunyuan_vl": ("no head_dim", _text(head_dim=128)),
    "qwen4_exp": (
        "no indexer",
        _text(
            indexer_n_heads=4,
            indexer_kv_heads=1,
            indexer_head_dim=256,
            indexer_budget=64,
            indexer_compress_ratio=16,
        ),
    ),
}

# Vision towers of the timm library, which is not installed here: built as if they were empty.
NEED_TIMM: dict[str, Callable[[Any], None]] = {
    "fast_vlm": lambda config: None,
    "gemma3n": lambda config: None,
    "perception_lm": _vision(model_args={"embed_dim": 64}),
}


def default_config(type_: str) -> Any:
    """The default config of a type, with what it lacks."""
    config = AutoConfig.for_model(type_)
    if type_ in INCOMPLETE:
        INCOMPLETE[type_][1](config)
    if type_ in NEED_TIMM:
        NEED_TIMM[type_](config)
    return config


def build(type_: str, config: Any) -> Any:
    """A network without weights, and without the towers of timm."""
    from transformers.models.timm_wrapper.modeling_timm_wrapper import TimmWrapperModel

    empty = transformers.PreTrainedModel.__init__
    with torch.device("meta"), no_init_weights(), mock.patch.object(TimmWrapperModel, "__init__", empty):
        return getattr(transformers, CLASSES[type_])(config)

"""Finding the heads of models of many families, and reading the right numbers from them."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from transformers import AutoModelForImageTextToText

import savs
from savs.engine.forward import read_heads
from savs.engine.prompts import Prompt, preprocess
from savs.errors import UnsupportedModel
from savs.model.heads import LayerHeads, find_projections

# Three decoder layers of 6 query heads over 2 key/value heads; encoders have three layers as well,
# so that counting layers is not enough to tell them from the decoder.
TEXT = {
    "vocab_size": 64,
    "hidden_size": 48,
    "intermediate_size": 64,
    "num_hidden_layers": 3,
    "num_attention_heads": 6,
    "num_key_value_heads": 2,
    "max_position_embeddings": 128,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "pad_token_id": 0,
}
VISION = {
    "hidden_size": 32,
    "intermediate_size": 32,
    "num_hidden_layers": 3,
    "num_attention_heads": 2,
    "image_size": 28,
    "patch_size": 14,
}
MROPE = {"rope_type": "default", "rope_theta": 10000.0, "mrope_section": [1, 1, 2]}
QWEN_VISION = {
    "depth": 3,
    "hidden_size": 32,
    "intermediate_size": 32,
    "num_heads": 2,
    "out_hidden_size": 48,
}


def qwen2_vl() -> Any:
    vision = {"depth": 3, "embed_dim": 32, "hidden_size": 48, "num_heads": 2}
    return transformers.Qwen2VLConfig(text_config={**TEXT, "rope_parameters": MROPE}, vision_config=vision)


def qwen2_5_vl() -> Any:
    text = {**TEXT, "rope_parameters": MROPE}
    return transformers.Qwen2_5_VLConfig(text_config=text, vision_config=QWEN_VISION)


def llava_onevision() -> Any:
    return transformers.LlavaOnevisionConfig(
        text_config={"model_type": "qwen2", **TEXT},
        vision_config={"model_type": "siglip_vision_model", **VISION},
    )


def llava_next() -> Any:
    return transformers.LlavaNextConfig(
        text_config={"model_type": "mistral", **TEXT, "head_dim": 16},
        vision_config={"model_type": "clip_vision_model", **VISION},
    )


def gemma3() -> Any:
    return transformers.Gemma3Config(text_config={**TEXT, "head_dim": 16}, vision_config=VISION)


def idefics3() -> Any:
    return transformers.Idefics3Config(text_config={"model_type": "llama", **TEXT}, vision_config=VISION)


def internvl() -> Any:
    vision = {**VISION, "image_size": [28, 28], "patch_size": [14, 14]}
    return transformers.InternVLConfig(text_config={"model_type": "qwen2", **TEXT}, vision_config=vision)


def mistral3() -> Any:
    return transformers.Mistral3Config(
        text_config={"model_type": "mistral", **TEXT, "head_dim": 16},
        vision_config={"model_type": "pixtral", **VISION},
    )


def build(config: Any) -> Any:
    """A model without weights."""
    with torch.device("meta"):
        return AutoModelForImageTextToText.from_config(config)


def layers_of(network: Any) -> list[LayerHeads]:
    return [projection.heads for projection in find_projections(network)]


@pytest.mark.parametrize(
    ("config", "head_dim"),
    [
        (qwen2_vl, 8),
        (qwen2_5_vl, 8),
        (llava_onevision, 8),
        (llava_next, 16),  # head_dim is not hidden_size / heads
        (gemma3, 16),
        (idefics3, 8),
        (internvl, 8),
        (mistral3, 16),
    ],
)
def test_the_query_heads_of_every_decoder_layer_are_found(config: Callable[[], Any], head_dim: int) -> None:
    network = build(config())
    assert layers_of(network) == [LayerHeads(number, 6, head_dim) for number in range(3)]


@pytest.mark.parametrize("config", [qwen2_vl, llava_onevision, idefics3, mistral3])
def test_the_projections_are_those_of_the_decoder_and_in_its_order(config: Callable[[], Any]) -> None:
    network = build(config())
    layers = network.get_decoder().layers
    assert [p.module for p in find_projections(network)] == [layer.self_attn.o_proj for layer in layers]


@pytest.mark.parametrize("config", [qwen2_vl, llava_onevision, idefics3, internvl])
def test_encoders_with_as_many_layers_are_passed_over(config: Callable[[], Any]) -> None:
    # given a model that does not say which of its parts is the decoder
    network = build(config())
    layers = network.get_decoder().layers
    network.get_decoder = lambda: None
    # then its vision tower, which comes first, is not taken for it
    assert [p.module for p in find_projections(network)] == [layer.self_attn.o_proj for layer in layers]


def test_layers_may_have_heads_of_different_width() -> None:
    # given a model whose every fourth layer attends to everything, with wider heads
    kinds = ["sliding_attention", "sliding_attention", "sliding_attention", "full_attention"]
    text = {**TEXT, "num_hidden_layers": 4, "head_dim": 16, "global_head_dim": 32, "layer_types": kinds}
    network = build(transformers.Gemma4Config(text_config=text, vision_config=VISION, audio_config=None))
    # then each layer is described as it is
    assert layers_of(network) == [
        LayerHeads(0, 6, 16),
        LayerHeads(1, 6, 16),
        LayerHeads(2, 6, 16),
        LayerHeads(3, 6, 32),
    ]


def test_layers_without_attention_are_left_out() -> None:
    text = {**TEXT, "layer_types": ["conv", "full_attention", "conv"]}
    network = build(transformers.Lfm2VlConfig(text_config=text, vision_config=VISION))
    assert layers_of(network) == [LayerHeads(1, 6, 8)]


def test_cross_attention_to_the_picture_is_left_out() -> None:
    network = build(
        transformers.MllamaConfig(
            text_config={
                **TEXT,
                "num_hidden_layers": 5,
                "cross_attention_layers": [1, 3],
                "rope_parameters": {"rope_type": "default", "rope_theta": 10000.0},
            },
            vision_config={
                **VISION,
                "num_hidden_layers": 2,
                "num_global_layers": 1,
                "attention_heads": 2,
                "max_num_tiles": 1,
                "supported_aspect_ratios": [[1, 1]],
                "intermediate_layers_indices": [0],
            },
        )
    )
    assert [layer.layer for layer in layers_of(network)] == [0, 2, 4]


def test_a_layout_places_heads_layer_after_layer_without_gaps() -> None:
    layout = savs.HeadLayout((LayerHeads(0, 2, 3), LayerHeads(2, 1, 4)))
    assert layout.heads() == [(0, 0), (0, 1), (2, 0)]
    assert layout.slices() == {(0, 0): slice(0, 3), (0, 1): slice(3, 6), (2, 0): slice(6, 10)}
    assert layout.width == 10


def test_a_stated_width_of_values_that_disagrees_with_the_projection_is_refused() -> None:
    # given a layer that says its values are 5 wide, while its projection takes 6 × 8
    network = build(qwen2_5_vl())
    network.get_decoder().layers[1].self_attn.v_head_dim = 5
    # then nobody guesses
    with pytest.raises(UnsupportedModel, match=r"layer 1 states heads of width 5, but"):
        find_projections(network)


def test_a_number_of_heads_that_does_not_divide_the_projection_is_refused() -> None:
    network = build(qwen2_5_vl())
    network.get_decoder().layers[2].self_attn.num_heads = 7
    with pytest.raises(UnsupportedModel, match="7 heads do not divide"):
        find_projections(network)


def test_an_encoder_decoder_is_refused_with_its_class_name() -> None:
    text = {
        "vocab_size": 64,
        "d_model": 32,
        "encoder_layers": 2,
        "decoder_layers": 2,
        "encoder_attention_heads": 2,
        "decoder_attention_heads": 2,
        "encoder_ffn_dim": 32,
        "decoder_ffn_dim": 32,
    }
    vision = {
        "depths": [1] * 4,
        "embed_dim": [8] * 4,
        "num_heads": [2] * 4,
        "num_groups": [2] * 4,
        "projection_dim": 32,
    }
    network = build(transformers.Florence2Config(text_config=text, vision_config=vision))
    with pytest.raises(UnsupportedModel, match="Florence2ForConditionalGeneration is an encoder-decoder"):
        find_projections(network)


def test_vectors_are_what_attention_written_by_hand_gives(qwen2_5_vl: Path) -> None:
    # given a model in float64, in which six layers' rounding stays below the tolerance (in float32
    # two ways to add up the same numbers, of up to 5, differ by 2e-5), and a question without pictures
    model = savs.load_model(qwen2_5_vl, device="cpu", dtype="float64")
    [(_, batch)], _ = preprocess(model, [Prompt((), "Which of these is the odd one out?")])
    # if its vectors are read
    [read] = read_heads(model, batch)
    # then they are those of plain attention with 12 query heads that share 4 key/value heads
    expected = heads_by_hand(model.network, batch.inputs["input_ids"][0])
    assert read.shape == expected.shape
    assert (torch.from_numpy(read) - expected).abs().max() < 1e-5


def heads_by_hand(network: Any, ids: torch.Tensor) -> torch.Tensor:
    """[layers * heads * head_dim]: every head's output at the last token of a text."""
    text = network.config.text_config
    queries, shared = text.num_attention_heads, text.num_key_value_heads
    width = text.hidden_size // queries
    weights = network.get_decoder().state_dict()

    def norm(x: torch.Tensor, name: str) -> torch.Tensor:
        return x / (x.pow(2).mean(-1, keepdim=True) + text.rms_norm_eps).sqrt() * weights[name]

    def project(x: torch.Tensor, name: str) -> torch.Tensor:
        y = x @ weights[f"{name}.weight"].T
        return y + weights[f"{name}.bias"] if f"{name}.bias" in weights else y

    def turn(x: torch.Tensor) -> torch.Tensor:
        """Rotary positions: pairs (i, i + width / 2), turned by position * 10000^(-2i / width)."""
        speeds = 10000.0 ** (-torch.arange(0, width, 2) / width)
        angles = torch.arange(len(x))[:, None] * speeds[None]
        a, b = x.chunk(2, dim=-1)
        return torch.cat([a * angles.cos() - b * angles.sin(), b * angles.cos() + a * angles.sin()], dim=-1)

    hidden, found = weights["embed_tokens.weight"][ids], []
    future = torch.ones(len(ids), len(ids)).triu(1).bool()
    for number in range(text.num_hidden_layers):
        at = f"layers.{number}"
        x = norm(hidden, f"{at}.input_layernorm.weight")
        q, k, v = (project(x, f"{at}.self_attn.{name}_proj") for name in "qkv")
        outputs = []
        for head in range(queries):
            group = head // (queries // shared)  # the key/value head that this query head uses
            own, theirs = slice(head * width, (head + 1) * width), slice(group * width, (group + 1) * width)
            likeness = turn(q[:, own]) @ turn(k[:, theirs]).T / math.sqrt(width)
            outputs.append(likeness.masked_fill(future, -math.inf).softmax(-1) @ v[:, theirs])
        attended = torch.cat(outputs, dim=-1)
        found.append(attended[-1])
        hidden = hidden + project(attended, f"{at}.self_attn.o_proj")
        x = norm(hidden, f"{at}.post_attention_layernorm.weight")
        gate = torch.nn.functional.silu(project(x, f"{at}.mlp.gate_proj"))
        hidden = hidden + project(gate * project(x, f"{at}.mlp.up_proj"), f"{at}.mlp.down_proj")
    return torch.cat(found)

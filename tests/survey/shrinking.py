"""Makes default configs so small that a decoder with weights takes a tenth of a second.

Names and kinds of layers stay as they are; counts and widths become small. Widths of heads stay, so
that rotary embeddings fit them.
"""

from typing import Any

from tests.survey.configs import text_of

HEADS = 6  # query heads
SHARED = 2  # key/value heads that they share
SMALL = {
    "ffn_dim": 32,
    "hidden_size_per_layer_input": 8,
    "index_topk": 4,
    "intermediate_size": 32,
    "linear_num_heads": 2,
    "linear_num_key_heads": 2,
    "linear_num_value_heads": 4,
    "moe_intermediate_size": 32,
    "moe_k": 2,
    "moe_num_experts": 4,
    "moe_topk": 2,
    "n_group": 1,
    "n_routed_experts": 4,
    "num_experts": 4,
    "num_experts_per_tok": 2,
    "num_local_experts": 4,
    "share_expert_dim": 32,
    "shared_expert_intermediate_size": 32,
    "shared_experts_intermediate_size": 32,
    "swa_num_attention_heads": 8,
    "swa_num_key_value_heads": 4,
    "topk_group": 1,
    "vocab_size": 300,
    "vocab_size_per_layer_input": 300,
}
HALF_ROTARY = {
    "rope_type": "default",
    "rope_theta": 10000.0,
    "partial_rotary_factor": 0.5,
    "mrope_section": [8, 12, 12],
}
# What only runs with values of published checkpoints, where the defaults contradict each other.
PUBLISHED: dict[str, dict[str, Any]] = {
    "glm46v": {"rope_parameters": HALF_ROTARY},
    "glm4v": {"rope_parameters": HALF_ROTARY},
    "glm4v_moe": {"rope_parameters": HALF_ROTARY, "head_dim": 128},
    "glmga": {"rope_parameters": HALF_ROTARY},
    "hunyuan_vl": {
        "rope_parameters": {"rope_type": "default", "rope_theta": 10000.0, "mrope_section": [16] * 4}
    },
    "qwen3_omni_moe_thinker": {"head_dim": 128},
    "step3p7": {"sliding_window": 4},
}


def shrink(type_: str, config: Any) -> Any:
    """Changes a default config in place, and returns it."""
    text = text_of(config)
    for name, value in PUBLISHED.get(type_, {}).items():
        setattr(text, name, value)
    own = vars(text)
    was_deep, was_heads = text.num_hidden_layers, own[_name(text, "num_attention_heads")]
    depth = _depth(text)
    differing = _differing(text, depth, was_heads)
    _shrink_width(text, was_heads)
    for name, value in list(own.items()):
        if name in SMALL and isinstance(value, int):
            setattr(text, name, SMALL[name])
        elif name.endswith("token_id") and isinstance(value, int):
            setattr(text, name, 0)
        elif isinstance(value, list) and len(value) == was_deep:
            setattr(text, name, value[:depth])
    text.num_hidden_layers = depth
    if differing:
        text.per_layer_config = differing
    if type_ == "evolla":  # its decoder holds the protein encoder, too
        config.aligner_num_add_layers = config.resampler_depth = 1
        config.protein_encoder_config.num_hidden_layers = 1
    if type_ == "idefics":  # and this one the vision tower
        config.vision_config.num_hidden_layers = config.perceiver_config.resampler_depth = 1
    return config


def _name(text: Any, name: str) -> str:
    """What a config calls a quantity by itself: many an old one has names of its own."""
    return str(type(text).attribute_map.get(name, name))


def _depth(text: Any) -> int:
    """So many layers that every kind is among them; twice as many, if late ones use keys of early ones."""
    kinds, depth = getattr(text, "layer_types", None) or [], 3
    while set(kinds[:depth]) != set(kinds):
        depth += 1
    if getattr(text, "num_kv_shared_layers", 0):
        text.num_kv_shared_layers = depth
        depth *= 2
    return depth


def _differing(text: Any, depth: int, heads: int) -> dict[int, dict[str, Any]]:
    """What differs from layer to layer, with counts of heads in proportion; the config forgets it."""
    if not getattr(text, "is_heterogeneous", False):
        return {}
    full = {number: text.per_layer_config[number] for number in range(depth)}
    names = ("num_attention_heads", "num_key_value_heads")
    differing = {
        number: {
            name: HEADS * value // heads if name in names else value
            for name in text.per_layer_attributes
            if (value := getattr(layer, name)) is not None
        }
        for number, layer in full.items()
    }
    text.per_layer_config = None
    return differing


def _shrink_width(text: Any, was_heads: int) -> None:
    """Six heads, as wide as they were; where the config gives their width, of a stream that is narrower."""
    own = vars(text)
    width = _name(text, "hidden_size")
    head_dim = own.get("head_dim")
    hidden = 96 if head_dim else HEADS * (own[width] // was_heads)
    setattr(text, width, hidden)
    if "word_embed_proj_dim" in own:
        text.word_embed_proj_dim = hidden
    setattr(text, _name(text, "num_attention_heads"), HEADS)
    shared = _name(text, "num_key_value_heads")
    if isinstance(own.get(shared), int):
        latent = "kv_lora_rank" in own  # latent attention has as many keys as queries
        setattr(text, shared, HEADS if latent else SHARED)

"""Finds the attention heads of a loaded model without a table of models.

A *head vector* is what one query head hands to the attention's output projection (arXiv
2412.00142, section 3): a slice of that projection's input. So all that has to be found is, per
decoder layer, the projection, and how many query heads its input is made of. Where the two
cannot be settled beyond doubt the model is refused: a wrong slice would be silently useless.
"""

import re
from collections.abc import Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from savs.errors import UnsupportedModel

if TYPE_CHECKING:
    from torch import nn

OUTPUT_PROJECTIONS = ("o_proj", "out_proj", "dense", "wo")  # in this order of preference
FUSED_PROJECTIONS = {"qkv_proj", "qkv", "query_key_value", "Wqkv", "c_attn", "W_pack", "att_proj"}
HEAD_COUNTS = ("num_heads", "num_attention_heads", "n_heads", "n_head")
NOT_SELF_ATTENTION = re.compile(r"mlp|feed_forward|ffn|mamba|ssm|linear_attn|cross|expert", re.I)
NOT_LANGUAGE = re.compile(r"vision|visual|image|audio|speech|encoder", re.I)


@dataclass(frozen=True)
class LayerHeads:
    """The query heads of one decoder layer: its number, how many heads, and the width of each."""

    layer: int
    heads: int
    head_dim: int

    @property
    def width(self) -> int:
        return self.heads * self.head_dim


@dataclass(frozen=True)
class HeadLayout:
    """Where each head lies in a row of head vectors: layer after layer, head after head.

    Layers without self-attention are left out; layers may differ in count and width of heads.
    """

    layers: tuple[LayerHeads, ...]

    @property
    def width(self) -> int:
        """Numbers in one row of head vectors."""
        return sum(layer.width for layer in self.layers)

    def only(self, layers: Collection[int]) -> "HeadLayout":
        """The layout of rows that hold the heads of `layers` alone."""
        return HeadLayout(tuple(layer for layer in self.layers if layer.layer in layers))

    def heads(self) -> list[tuple[int, int]]:
        """(layer, head) of every head, layer-major: the order that ties refer to."""
        return [(layer.layer, head) for layer in self.layers for head in range(layer.heads)]

    def slices(self) -> dict[tuple[int, int], slice]:
        """The columns of every (layer, head) in a row of head vectors."""
        places, start = {}, 0
        for layer in self.layers:
            for head in range(layer.heads):
                places[layer.layer, head] = slice(start, start + layer.head_dim)
                start += layer.head_dim
        return places


@dataclass(frozen=True)
class HeadProjection:
    """A layer's attention output projection, whose input is the layer's head vectors."""

    heads: LayerHeads
    module: "nn.Module"


def find_projections(model: Any) -> list[HeadProjection]:
    """The output projection of every self-attention layer of `model`'s decoder, in layer order.

    `model` is a loaded `transformers` model. Raises UnsupportedModel, naming its class.
    """
    name = type(model).__name__
    config = model.config
    if getattr(config, "is_encoder_decoder", False):
        raise UnsupportedModel(f"{name} is an encoder-decoder; savs reads the heads of decoder-only models")
    text = config.get_text_config(decoder=True)
    count = getattr(text, "num_hidden_layers", None)
    if not count:
        raise UnsupportedModel(f"{name}: its text config has no num_hidden_layers")
    layers = _decoder_layers(model, count)
    if layers is None:
        raise UnsupportedModel(
            f"{name} has no list of {count} decoder layers with self-attention outside its encoders"
        )
    found = [p for number, layer in enumerate(layers) if (p := _projection(name, number, layer, text))]
    if not found:
        raise UnsupportedModel(f"{name} has no attention heads that savs can read")
    return found


def _decoder_layers(model: Any, count: int) -> "nn.ModuleList | None":
    from torch import nn

    decoder = model.get_decoder() or model
    for path, module in decoder.named_modules():
        if (
            isinstance(module, nn.ModuleList)
            and len(module) == count
            and not NOT_LANGUAGE.search(path)
            and any(_self_attention(layer) is not None for layer in module)
        ):
            return module
    return None


def _self_attention(layer: "nn.Module") -> "tuple[nn.Module, nn.Module] | None":
    """The attention module of a decoder layer and its output projection."""
    for path, module in layer.named_modules():
        if NOT_SELF_ATTENTION.search(path) or NOT_SELF_ATTENTION.search(type(module).__name__):
            continue
        children = dict(module.named_children())
        if not _projects_queries_keys_values(set(children)):
            continue
        for name in OUTPUT_PROJECTIONS:
            if name in children and _input_width(children[name]) is not None:
                return module, children[name]
    return None


def _projects_queries_keys_values(children: set[str]) -> bool:
    if children & FUSED_PROJECTIONS:
        return True
    query = any(re.match(r"(w?q(_.*)?|query|q_lin)$", child) for child in children)
    key = any(re.match(r"(w?kv?(_.*)?|key|k_lin|kv_.*)$", child) for child in children)
    value = any(re.match(r"(w?k?v(_.*)?|value|v_lin|kv_.*)$", child) for child in children)
    return query and key and value


def _input_width(projection: "nn.Module") -> int | None:
    """Columns of a linear projection's input; `nx` is what GPT-2's Conv1D calls them."""
    width = getattr(projection, "in_features", getattr(projection, "nx", None))
    return width if isinstance(width, int) else None


def _projection(name: str, number: int, layer: "nn.Module", text: Any) -> HeadProjection | None:
    found = _self_attention(layer)
    if found is None:
        return None  # a layer of another kind, such as linear attention or cross-attention
    attention, projection = found
    width = _input_width(projection)
    assert width is not None
    heads = _head_count(attention, text)
    if heads is None:
        raise UnsupportedModel(f"{name}: layer {number} does not say how many query heads it has")
    if width % heads:
        raise UnsupportedModel(
            f"{name}: layer {number} projects {width} numbers, which {heads} heads do not divide"
        )
    stated = [d for a in ("v_head_dim", "head_dim") if isinstance(d := getattr(attention, a, None), int)]
    if stated and stated[0] != width // heads:
        raise UnsupportedModel(
            f"{name}: layer {number} says its heads are {stated[0]} wide, but {width} numbers in "
            f"{heads} heads make {width // heads}"
        )
    return HeadProjection(LayerHeads(number, heads, width // heads), projection)


def _head_count(attention: "nn.Module", text: Any) -> int | None:
    """Query heads, from the attention module, its config, then the text config; never key/value heads."""
    for holder in (attention, getattr(attention, "config", None), text):
        for attribute in HEAD_COUNTS:
            count = getattr(holder, attribute, None)
            if isinstance(count, int) and not isinstance(count, bool) and count > 0:
                return count
    return None

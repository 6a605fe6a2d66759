"""Finds the attention heads of a loaded model without a table of models.

A *head vector* is the part of the input of the attention's output projection that comes from one
query head (arXiv 2412.00142, section 3). If a model gates or normalises its heads first, as Qwen3.5
does, that is part of the vector. So for each decoder layer only the projection has to be found, and
the number of query heads in its input:

1. The model is decoder-only: the prompt's embeddings are in the decoder whose heads are read.
2. The decoder's layers are its first list of `num_hidden_layers` modules that is not an encoder's
   and whose modules have self-attention.
3. A layer's self-attention is the first module that has both a query projection and an output
   projection. Layers that mix tokens in other ways (recurrent, convolution, cross-attention) have
   none, and are left out; a layer that the config calls an attention layer must have its own.
4. The module, its config, or the text config states the number of query heads.
5. That number divides the projection's input, into the head width that the module states, if it does.

If a step fails, the model is refused and the error names the step: a wrong slice would give useless
results without an error. `docs/models.md` lists the result of the rule for every type of transformers.
"""

import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from savs.errors import ArtifactMismatch, UnsupportedModel

if TYPE_CHECKING:
    from torch import nn

OUTPUT_PROJECTIONS = ("o_proj", "out_proj", "dense", "wo")  # in this order of preference
FUSED_PROJECTIONS = {"qkv_proj", "qkv", "query_key_value", "Wqkv", "c_attn", "W_pack", "att_proj"}
QUERY_PROJECTION = re.compile(r"(w?q(_.*)?|query|q_lin)$")  # keys and values may come from another layer
HEAD_COUNTS = ("num_heads", "num_attention_heads", "n_heads", "n_head")
NOT_SELF_ATTENTION = re.compile(
    r"mlp|feed_forward|ffn|mamba|ssm|lstm|linear_attn|deltanet|deltaattention|lightning|cross|expert", re.I
)
NOT_ATTENTION_LAYER = re.compile(r"linear|conv|mamba|recurrent|moe|mlp", re.I)  # among a config's layer_types
NOT_LANGUAGE = re.compile(r"vision|visual|image|audio|speech|encoder", re.I)


@dataclass(frozen=True)
class LayerHeads:
    """The query heads of one decoder layer: its number, how many heads it has, and the width of each.

    chosen  numbers of the heads that a row of head vectors holds, ascending; None for all. Raises ValueError
            if they are not heads of the layer. All of them become None, so that equal layers are equal
    """

    layer: int
    heads: int
    head_dim: int
    chosen: tuple[int, ...] | None = None

    def __post_init__(self) -> None:
        if self.chosen is None:
            return
        ascend = all(a < b for a, b in pairwise((-1, *self.chosen, self.heads)))
        if not self.chosen or not ascend:
            raise ValueError(f"layer {self.layer} has no such choice of its {self.heads} heads")
        if len(self.chosen) == self.heads:
            object.__setattr__(self, "chosen", None)

    @property
    def numbers(self) -> Sequence[int]:
        """Numbers of the heads that a row holds."""
        return range(self.heads) if self.chosen is None else self.chosen

    @property
    def count(self) -> int:
        """How many heads a row holds."""
        return self.heads if self.chosen is None else len(self.chosen)

    @property
    def width(self) -> int:
        return self.count * self.head_dim


@dataclass(frozen=True)
class HeadLayout:
    """The position of each head in a row of head vectors: layer after layer, head after head.

    Layers without self-attention are left out; layers may differ in number and width of heads. A row may
    hold only some heads of the model (`part`).
    """

    layers: tuple[LayerHeads, ...]

    @property
    def width(self) -> int:
        """Dimensions of one row of head vectors."""
        return sum(layer.width for layer in self.layers)

    @property
    def counts(self) -> str:
        """For example "28 layers × 28 heads", or "28 layers, 700 heads" if layers differ."""
        each = {layer.count for layer in self.layers}
        heads = f" × {each.pop()} heads" if len(each) == 1 else f", {len(self.heads())} heads"
        return f"{len(self.layers)} layers{heads}"

    def only(self, layers: Collection[int]) -> "HeadLayout":
        """The layout of rows that hold only the heads of `layers`."""
        return HeadLayout(tuple(layer for layer in self.layers if layer.layer in layers))

    def heads(self) -> list[tuple[int, int]]:
        """(layer, head) of every head, layer-major: the order in which ties are broken."""
        return [(layer.layer, head) for layer in self.layers for head in layer.numbers]

    def slices(self) -> dict[tuple[int, int], slice]:
        """The columns of every (layer, head) in a row of head vectors."""
        places, start = {}, 0
        for layer in self.layers:
            for head in layer.numbers:
                places[layer.layer, head] = slice(start, start + layer.head_dim)
                start += layer.head_dim
        return places

    def part(self, heads: Collection[tuple[int, int]]) -> "HeadLayout":
        """The layout of rows that hold only `heads`, which are (layer, head), in this layout's order. Raises
        ArtifactMismatch if this layout lacks one."""
        self._check(heads)
        chosen = {
            layer.layer: sorted({head for of, head in heads if of == layer.layer}) for layer in self.layers
        }
        return HeadLayout(
            tuple(
                replace(layer, chosen=tuple(chosen[layer.layer]))
                for layer in self.layers
                if chosen[layer.layer]
            )
        )

    def is_part_of(self, other: "HeadLayout") -> bool:
        """Return whether these are heads of the model that `other` describes: its layers, of which some may
        be missing, or some heads of them, are as they are there."""
        whole = {layer.layer: layer for layer in other.layers}
        return all(
            (same := whole.get(layer.layer)) is not None
            and (same.heads, same.head_dim) == (layer.heads, layer.head_dim)
            and set(layer.numbers) <= set(same.numbers)
            for layer in self.layers
        )

    def columns(self, part: "HeadLayout") -> list[int]:
        """The columns of the heads of `part` in a row of this layout. Raises ArtifactMismatch if `part` is of
        another model, or this layout lacks one of its heads."""
        self.check(part)
        own = self.slices()
        return [column for head in part.heads() for column in range(own[head].start, own[head].stop)]

    def check(self, part: "HeadLayout") -> None:
        """Raises ArtifactMismatch as `columns`."""
        self._check(part.heads())
        if not part.is_part_of(self):
            raise ArtifactMismatch(
                f"the head vectors have {self.counts} in {self.width} values, and not the heads that are "
                "needed, which are another model's"
            )

    def _check(self, heads: Iterable[tuple[int, int]]) -> None:
        have = self.slices()
        missing = [head for head in heads if head not in have]
        if missing:
            layer, head = missing[0]
            more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
            raise ArtifactMismatch(
                f"head {head} of layer {layer}{more} is missing from the head vectors, which have "
                f"{self.counts}; keep the vectors of all heads, or use a readout of heads that are there"
            )


@dataclass(frozen=True)
class HeadProjection:
    """A layer's attention output projection, whose input is the layer's head vectors."""

    heads: LayerHeads
    module: "nn.Module"


def find_projections(model: Any) -> list[HeadProjection]:
    """The output projection of every self-attention layer of `model`'s decoder, in layer order.

    `model` is a loaded `transformers` model. Raises UnsupportedModel, naming its class and the step
    of the rule (at the top of this file) that failed.
    """
    name = type(model).__name__
    decoder = model.get_decoder() or model
    if getattr(model.config, "is_encoder_decoder", False):
        raise _refusal(1, f"{name} is an encoder-decoder; savs reads the heads of decoder-only models")
    if not _reads_prompt(model, decoder):
        raise _refusal(
            1, f"{name}: its decoder does not read the prompt; the embeddings belong to another part"
        )
    text = model.config.get_text_config(decoder=True)
    count = getattr(text, "num_hidden_layers", None)
    if not count:
        raise _refusal(2, f"{name}: its text config has no num_hidden_layers")
    layers = _decoder_layers(decoder, count)
    if layers is None:
        raise _refusal(
            2, f"{name} has no list of {count} decoder layers with self-attention outside its encoders"
        )
    found = [p for number, layer in enumerate(layers) if (p := _projection(name, number, layer, text))]
    if not found:
        raise _refusal(3, f"{name} has no attention heads that savs can read")
    if len({id(projection.module) for projection in found}) < len(found):
        raise _refusal(3, f"{name}: several layers share one attention, so their heads cannot be told apart")
    return found


def _refusal(step: int, reason: str) -> UnsupportedModel:
    return UnsupportedModel(f"{reason} (step {step} of savs/model/heads.py)")


def _reads_prompt(model: Any, decoder: "nn.Module") -> bool:
    """Return whether the embeddings of `input_ids` are the decoder's (DiffusionGemma's are its encoder's)."""
    try:
        embeddings = model.get_input_embeddings()
    except NotImplementedError:  # transformers cannot find them
        return False
    return any(module is embeddings for module in decoder.modules())


def _decoder_layers(decoder: "nn.Module", count: int) -> "nn.ModuleList | None":
    from torch import nn

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
        if not any(child in FUSED_PROJECTIONS or QUERY_PROJECTION.match(child) for child in children):
            continue
        for name in OUTPUT_PROJECTIONS:
            if name in children and _input_width(children[name]) is not None:
                return module, children[name]
    return None


def _input_width(projection: "nn.Module") -> int | None:
    """Columns of a linear projection's input; GPT-2's Conv1D calls them `nx`."""
    width = getattr(projection, "in_features", getattr(projection, "nx", None))
    return width if isinstance(width, int) else None


def _projection(name: str, number: int, layer: "nn.Module", text: Any) -> HeadProjection | None:
    kinds = getattr(text, "layer_types", None)
    if kinds and NOT_ATTENTION_LAYER.search(kinds[number]):
        return None
    found = _self_attention(layer)
    if found is None and kinds:
        raise _refusal(
            3, f"{name}: layer {number} is called {kinds[number]!r}, but has no attention that savs can read"
        )
    if found is None:
        return None
    attention, projection = found
    width = _input_width(projection)
    assert width is not None
    heads = _head_count(attention, text, number)
    if heads is None:
        raise _refusal(4, f"{name}: layer {number} does not state how many query heads it has")
    if width % heads:
        raise _refusal(
            5, f"{name}: layer {number} projects {width} dimensions, which {heads} heads do not divide"
        )
    stated = [d for a in ("v_head_dim", "head_dim") if isinstance(d := getattr(attention, a, None), int)]
    if stated and stated[0] != width // heads:
        raise _refusal(
            5,
            f"{name}: layer {number} states heads of width {stated[0]}, but {width} dimensions in "
            f"{heads} heads make {width // heads}",
        )
    return HeadProjection(LayerHeads(number, heads, width // heads), projection)


def _head_count(attention: "nn.Module", text: Any, number: int) -> int | None:
    """Query heads, from the attention module, its config, then the text config; never key/value heads."""
    holders: tuple[Any, ...] = (attention, getattr(attention, "config", None), text)
    for holder in holders:
        differs = getattr(holder, "is_heterogeneous", False)  # then the whole config raises on access
        for attribute in HEAD_COUNTS:
            count = getattr(holder.per_layer_config[number] if differs else holder, attribute, None)
            if isinstance(count, int) and not isinstance(count, bool) and count > 0:
                return count
    return None

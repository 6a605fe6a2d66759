"""Floating-point operations of a forward pass, from a configuration and the shapes of its inputs.

A matrix product of [m, k] and [k, n] is 2 m k n operations. Counted are the necessary operations: products
with weights, and attention over the pairs of tokens that see each other, 4 operations per pair and dimension
of a head (a product with the key, and one with the value). Not counted: norms, activations, softmax,
positions, padding, and the masked half of causal attention. In the decoder all layers below the last one
that is read count fully; in that layer only the queries, keys, values and attention.
"""

from collections.abc import Iterable
from typing import Any

from savs.engine.batches import Batch


def of_row(config: Any, batch: Batch, last_layer: int) -> dict[str, int]:
    """Return the operations of a batch of one row: `vision`, projector included, and `language`.

    last_layer  the highest decoder layer that is read, from 0
    """
    tower = of_siglip if config.vision_config.model_type == "siglip_vision_model" else of_qwen
    return {
        "vision": tower(config, batch.inputs),
        "language": of_decoder(config.get_text_config(decoder=True), batch, last_layer),
    }


def of_decoder(text: Any, batch: Batch, last_layer: int) -> int:
    """n tokens, H hidden, q and k total width of query and key heads, I intermediate, p pairs: a layer
    costs n (2 H q + 2 · 2 H k) + 4 q p up to the head vectors, and 2 n q H + 3 · 2 n H I for the rest."""
    [tokens] = batch.inputs["input_ids"].shape[1:]
    pairs = _causal(tokens)
    if (branches := batch.branches) is not None:
        ends = (branches.used // branches.places.shape[1]).bincount().tolist()
        pairs = _causal(branches.beginning) + sum(n * branches.beginning + _causal(n) for n in ends)
    hidden, heads = text.hidden_size, text.num_attention_heads
    width = getattr(text, "head_dim", None) or hidden // heads
    queries, keys = heads * width, text.num_key_value_heads * width
    read = tokens * (2 * hidden * queries + 4 * hidden * keys) + 4 * queries * pairs
    passed = tokens * (2 * queries * hidden + 6 * hidden * text.intermediate_size)
    return int((last_layer + 1) * read + last_layer * passed)


def _causal(tokens: int) -> int:
    """Return the number of pairs of tokens of which the second sees the first."""
    return tokens * (tokens + 1) // 2


def of_qwen(config: Any, inputs: dict[str, Any]) -> int:
    """Qwen2.5-VL's tower: n patches, h hidden, i intermediate, d blocks, p pairs.
    d n (2 · 4 h² + 3 · 2 h i) + 4 h (p of all blocks), the patches' embedding, and the merger, which makes
    one token of four patches: n / 4 · 2 ((4 h)² + 4 h · out)."""
    vision = config.vision_config
    h, merge = vision.hidden_size, vision.spatial_merge_size
    window = vision.window_size // vision.patch_size
    patches = whole = windowed = 0
    for name in ("image_grid_thw", "video_grid_thw"):
        for time, rows, columns in inputs[name].tolist() if name in inputs else ():
            patches += time * rows * columns
            whole += time * (rows * columns) ** 2  # a frame sees only itself
            windowed += time * _squares(rows, window) * _squares(columns, window)
    full = len(vision.fullatt_block_indexes)
    pairs = full * whole + (vision.depth - full) * windowed
    blocks = vision.depth * patches * (8 * h * h + 6 * h * vision.intermediate_size) + 4 * h * pairs
    pixels = vision.in_channels * vision.temporal_patch_size * vision.patch_size**2
    wide = merge**2 * h
    merger = patches // merge**2 * 2 * (wide * wide + wide * vision.out_hidden_size)
    return int(blocks + 2 * patches * pixels * h + merger)


def _squares(length: int, window: int) -> int:
    """Return the sum of squares of the parts into which windows divide `length`."""
    return length // window * window**2 + (length % window) ** 2


def of_siglip(config: Any, inputs: dict[str, Any]) -> int:
    """LLaVA-OneVision's tower over t tiles of n patches: d n (2 · 4 h² + 2 · 2 h i) + 4 h d n² for each,
    the patches' embedding, and the projector: 2 n (h H + H²), H the decoder's hidden size."""
    vision, hidden = config.vision_config, config.get_text_config(decoder=True).hidden_size
    h, n = vision.hidden_size, (vision.image_size // vision.patch_size) ** 2
    tiles = sum(
        _tiles(inputs[name].shape) for name in ("pixel_values", "pixel_values_videos") if name in inputs
    )
    block = n * (8 * h * h + 4 * h * vision.intermediate_size) + 4 * h * n * n
    embedding = 2 * n * vision.num_channels * vision.patch_size**2 * h
    return int(tiles * (vision.num_hidden_layers * block + embedding + 2 * n * (h * hidden + hidden**2)))


def _tiles(shape: Iterable[int]) -> int:
    """Return the number of tiles in pixels [items, tiles or frames, 3, height, width]."""
    items, each, *_ = shape
    return items * each

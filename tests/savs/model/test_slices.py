"""The slices that are read are the heads' own: each is what attention gives that is written out by
hand, one head and one token at a time, over what went into its layer."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from transformers import AutoProcessor

import savs
from savs.engine.forward import read_heads
from savs.engine.prompts import Processed
from savs.loading import wrap
from tests.checkpoints.saving import TEXT, randomize

QUESTION = "Which of these is the odd one out, and why is it so?"
Numbers = np.ndarray


@dataclass(frozen=True)
class Attention:
    """One layer: its weights, and what is particular about it.

    query, key, value  float64 [heads * width, hidden], of which key and value may have fewer heads
    query_norm         float64 [width], what normalised queries are multiplied with; None: they are not
                       normalised. key_norm likewise
    norms_values       whether values are normalised
    scale              of the likeness of query and key
    theta              base of the rotary positions
    window             tokens that are seen, the own one among them
    """

    query: Numbers
    key: Numbers
    value: Numbers
    heads: int
    width: int
    query_norm: Numbers | None
    key_norm: Numbers | None
    norms_values: bool
    scale: float
    theta: float
    window: int


def head_by_hand(layer: Attention, head: int, inputs: Numbers) -> Numbers:
    """[width]: what the query head makes of `inputs` [tokens, hidden] at the last token."""
    width, last = layer.width, len(inputs) - 1
    shared = len(layer.key) // width  # key/value heads, each of them used by as many query heads
    group = head // (layer.heads // shared)
    own, theirs = slice(head * width, (head + 1) * width), slice(group * width, (group + 1) * width)
    query = turned(normed(layer.query[own] @ inputs[last], layer.query_norm), last, layer.theta)
    likenesses, values = [], []
    for token in range(max(0, last - layer.window + 1), last + 1):
        key = turned(normed(layer.key[theirs] @ inputs[token], layer.key_norm), token, layer.theta)
        value = layer.value[theirs] @ inputs[token]
        likenesses.append(math.exp(layer.scale * float(query @ key)))
        values.append(normed(value, np.ones(width)) if layer.norms_values else value)
    return sum(weight * value for weight, value in zip(likenesses, values, strict=True)) / sum(likenesses)


def normed(vector: Numbers, weight: Numbers | None, epsilon: float = 1e-6) -> Numbers:
    if weight is None:
        return vector
    return vector / math.sqrt(float(vector @ vector) / len(vector) + epsilon) * weight


def turned(vector: Numbers, position: int, theta: float) -> Numbers:
    """Rotary positions: the pair (i, i + width / 2) is turned by position * theta^(-2i / width)."""
    half = len(vector) // 2
    out = np.empty_like(vector)
    for i in range(half):
        angle = position * theta ** (-2 * i / len(vector))
        a, b = vector[i], vector[i + half]
        out[i] = a * math.cos(angle) - b * math.sin(angle)
        out[i + half] = b * math.cos(angle) + a * math.sin(angle)
    return out


def described(module: Any, heads: int, width: int, scale: float, theta: float, window: int) -> Attention:
    """A layer's attention, from its module."""

    def numbers(name: str) -> Numbers | None:
        weight = getattr(getattr(module, name, None), "weight", None)
        return None if weight is None else weight.detach().double().numpy()

    query, key, value = (numbers(f"{name}_proj") for name in "qkv")
    assert query is not None and key is not None and value is not None
    return Attention(
        *(query, key, value, heads, width, numbers("q_norm"), numbers("k_norm")),
        norms_values=hasattr(module, "v_norm"),
        scale=scale,
        theta=theta,
        window=window,
    )


def check_slices(model: savs.Model, layers: list[Attention]) -> None:
    # given a text, and what goes into each layer's attention when it is read
    ids = model.processor.tokenizer(QUESTION, return_tensors="pt")["input_ids"]
    modules = [layer.self_attn for layer in model.network.get_decoder().layers]
    inputs: list[Numbers] = []
    hooks = [
        module.register_forward_pre_hook(
            lambda _, given, named: inputs.append(
                (given[0] if given else named["hidden_states"])[0].double().numpy()
            ),
            with_kwargs=True,
        )
        for module in modules
    ]
    [read] = read_heads(
        model, Processed({"input_ids": ids, "attention_mask": torch.ones_like(ids)}, [ids.shape[1]])
    )
    for hook in hooks:
        hook.remove()
    # then every slice is its own head's, and no other's
    slices = model.layout.slices()
    assert list(slices) == [(n, head) for n, layer in enumerate(layers) for head in range(layer.heads)]
    for (number, head), columns in slices.items():
        expected = head_by_hand(layers[number], head, inputs[number])
        assert read[columns].shape == expected.shape
        assert np.abs(read[columns] - expected).max() < 1e-4 * max(1.0, np.abs(expected).max()), (
            number,
            head,
        )


@pytest.mark.parametrize("family", ["mistral3", "qwen3_vl"])
def test_query_heads_share_keys_and_are_wider_than_hidden_size_by_heads(
    family_folder: Callable[[str], Path], family: str
) -> None:
    # given 4 query heads over 2 key/value heads, 24 wide, where 64 / 4 is 16; Qwen3's are normalised
    model = savs.load_model(family_folder(family), device="cpu", dtype="float64")
    modules = [layer.self_attn for layer in model.network.get_decoder().layers]
    theta = model.network.config.get_text_config().rope_parameters["rope_theta"]
    scramble_norms(model.network)
    check_slices(model, [described(m, 4, 24, 24**-0.5, theta, 10_000) for m in modules])


def test_layers_whose_heads_differ_in_width(family_folder: Callable[[str], Path]) -> None:
    # given Gemma 4: of three layers the last sees everything, with heads twice as wide
    processor = AutoProcessor.from_pretrained(family_folder("gemma3"))
    kinds = ["sliding_attention", "sliding_attention", "full_attention"]
    rope = {"rope_type": "default", "rope_theta": 10000.0}
    network = transformers.Gemma4ForConditionalGeneration(
        transformers.Gemma4Config(
            text_config={
                **TEXT,
                "vocab_size": len(processor.tokenizer),
                "vocab_size_per_layer_input": len(processor.tokenizer),
                "hidden_size_per_layer_input": 8,
                "head_dim": 16,
                "global_head_dim": 32,
                "layer_types": kinds,
                "sliding_window": 6,
                "rope_parameters": dict.fromkeys(kinds, rope),
            },
            vision_config={"hidden_size": 32, "num_hidden_layers": 1, "intermediate_size": 32},
            audio_config=None,
        )
    )
    randomize(network)
    scramble_norms(network)
    model = wrap(network.eval(), processor, "gemma4", "local", "", self_test=False)
    modules = [layer.self_attn for layer in network.get_decoder().layers]
    windows = [(16, 6), (16, 6), (32, 10_000)]
    check_slices(
        model,
        [
            described(m, 4, width, 1.0, 10000.0, seen)
            for m, (width, seen) in zip(modules, windows, strict=True)
        ],
    )


def scramble_norms(network: torch.nn.Module) -> None:
    """Norms of queries and keys that are not all ones."""
    for name, parameter in network.named_parameters():
        if name.endswith(("q_norm.weight", "k_norm.weight")):
            torch.nn.init.uniform_(parameter, 0.5, 1.5)

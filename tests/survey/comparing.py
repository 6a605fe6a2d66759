"""Holds what savs reads against what attention gives, in a small real decoder of every type.

All of transformers' decoders here ask its attention interface for the function that mixes the heads'
values. Recording what that function returns, [batch, tokens, heads, head_dim], says which module of a
layer is its attention, how many heads it has and how wide they are, without any rule about names.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from types import SimpleNamespace
from typing import Any, cast
from unittest import mock

import torch
from torch import nn
from transformers.initialization import no_init_weights
from transformers.modeling_utils import AttentionInterface

from savs.engine.forward import read_heads
from savs.engine.prompts import Processed
from savs.model.heads import HeadProjection, find_projections
from savs.model.model import Model
from tests.survey.configs import build, default_config
from tests.survey.shrinking import shrink

TOKENS = torch.arange(5, 14)[None]


@dataclass
class Recording:
    """What attention modules gave at the last token, [heads, head_dim] each, in order of their calls.

    The odd heads of `turned` are negated before anyone sees them.
    """

    given: dict[nn.Module, torch.Tensor] = field(default_factory=dict)
    turned: nn.Module | None = None


@contextmanager
def recorded(recording: Recording) -> Iterator[None]:
    """Within, every attention function notes in `recording` what it gives."""
    original = AttentionInterface.get_interface

    def get_interface(interface: AttentionInterface, *names: Any) -> Callable[..., Any]:
        function = original(interface, *names)

        def attend(module: nn.Module, *args: Any, **kwargs: Any) -> Any:
            output, *rest = function(module, *args, **kwargs)
            if module is recording.turned:
                output = output.clone()
                output[:, :, 1::2] *= -1
            recording.given[module] = output[0, -1].clone()
            return output, *rest

        return attend

    with mock.patch.object(AttentionInterface, "get_interface", get_interface):
        yield


AS_GIVEN = "as given"  # what is read is what attention gave, to the last bit
GATED = "gated"  # it was multiplied or normalised since, each head by itself
NORMALISED = "normalised"  # it went through a norm over all heads
FOREIGN = "foreign"  # none of these: not the heads of this attention


@dataclass(frozen=True)
class Layer:
    """One layer: what its attention gave and what savs read, [heads, head_dim] each, and how they relate."""

    given: torch.Tensor
    read: torch.Tensor
    relation: str


@dataclass(frozen=True)
class Compared:
    """A type's layers, and the attention modules that ran in its decoder without being read."""

    layers: list[Layer]
    missed: list[nn.Module]


@cache
def compare(type_: str) -> Compared:
    """Runs nine tokens through a small decoder of a type, with random weights."""
    return compare_in(type_, shrink(type_, default_config(type_)))


def compare_in(type_: str, config: Any) -> Compared:
    """As `compare`, with a config of one's own, which must be small."""
    network, decoder = with_real_decoder(build(type_, config))
    projections = find_projections(network)
    recording = Recording()
    read = _read(type_, decoder, projections, recording)
    given = dict(recording.given)
    owners = {child: module for module in decoder.modules() for child in module.children()}
    layers = []
    for number, projection in enumerate(projections):
        attention = owners[projection.module]
        came = given.pop(attention)  # a KeyError here: what is read from is no attention
        if came.shape != read[number].shape:
            relation = FOREIGN
        elif torch.equal(came, read[number]):
            relation = AS_GIVEN
        else:
            recording.turned = attention
            turned = _read(type_, decoder, projections, recording)[number]
            relation = _relation(attention, came, read[number], turned)
        layers.append(Layer(came, read[number], relation))
    return Compared(layers, list(given))


@torch.inference_mode()
def _relation(attention: nn.Module, given: torch.Tensor, read: torch.Tensor, turned: torch.Tensor) -> str:
    """How what was read depends on what was given; `turned` was read with the odd heads negated."""
    signs = torch.ones(len(read), 1)
    signs[1::2] = -1
    if torch.allclose(turned, signs * read, atol=1e-6):
        return GATED
    norms = [m for m in attention.children() if isinstance(m, nn.LayerNorm)]
    if any(torch.allclose(norm(given.flatten()), read.flatten(), atol=1e-5) for norm in norms):
        return NORMALISED
    return FOREIGN


def with_real_decoder(network: Any) -> tuple[Any, Any]:
    """A network without weights, and its decoder, which now has random ones in float32."""
    blank = network.get_decoder()
    [path] = [name for name, module in network.named_modules() if module is blank]
    torch.manual_seed(0)
    with no_init_weights():
        decoder = type(blank)(blank.config).eval()
    for parameter in decoder.parameters():
        if parameter.ndim > 1:
            nn.init.normal_(parameter, std=0.2)
        else:
            nn.init.uniform_(parameter, 0.5, 1.5)
    network.set_submodule(path, decoder)
    return network, decoder


def _read(
    type_: str, decoder: Any, projections: list[HeadProjection], recording: Recording
) -> list[torch.Tensor]:
    """What `savs.engine.forward` reads from each projection: [heads, head_dim]."""
    model = SimpleNamespace(network=decoder, projections=projections, device=torch.device("cpu"), name=type_)
    inputs = {"input_ids": TOKENS, "attention_mask": torch.ones_like(TOKENS)}
    if type_ == "idefics":  # its decoder also runs the gated cross-attention, which needs some picture
        inputs["image_encoder_embeddings"] = torch.zeros(1, 1, 4, decoder.config.vision_config.embed_dim)
        inputs["image_attention_mask"] = torch.ones(1, TOKENS.shape[1], 1)
    batch = SimpleNamespace(inputs=inputs, lengths=[TOKENS.shape[1]])
    with recorded(recording):
        row = torch.from_numpy(read_heads(cast(Model, model), cast(Processed, batch)))[0]
    widths = [p.heads.width for p in projections]
    return [
        part.reshape(p.heads.heads, p.heads.head_dim)
        for p, part in zip(projections, row.split(widths), strict=True)
    ]

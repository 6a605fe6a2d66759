"""What `savs.model.heads` finds in every type, built from its default config without weights."""

import re
from dataclasses import dataclass
from functools import cache

from savs.errors import UnsupportedModel
from savs.model.heads import LayerHeads, find_projections
from tests.survey.configs import build, default_config, text_of


@dataclass(frozen=True)
class Found:
    """What became of one type.

    total    its decoder layers
    layers   those whose heads are read
    paths    where their projections lie, with N for the layer's number
    refusal  why savs refuses it, where it does
    """

    total: int
    layers: tuple[LayerHeads, ...]
    paths: tuple[str, ...]
    refusal: str | None = None


@cache
def look(type_: str) -> Found:
    """Builds a type and finds its heads."""
    config = default_config(type_)
    network = build(type_, config)
    total = getattr(text_of(config), "num_hidden_layers", 0)
    try:
        projections = find_projections(network)
    except UnsupportedModel as error:
        return Found(total, (), (), str(error))
    names = {module: name for name, module in network.named_modules()}
    paths = sorted({re.sub(r"\.\d+\.", ".N.", names[p.module]) for p in projections})
    return Found(total, tuple(p.heads for p in projections), tuple(paths))

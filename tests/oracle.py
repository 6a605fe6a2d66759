"""The published procedure, written out slowly: one item at a time, three passes over the examples.

Independent of `savs`: it takes a transformers model and its processor, hooks every `o_proj`, keeps
the last token, and follows arXiv 2412.00142 and its authors' code, ties included. Float32.
"""

from collections import Counter
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image


@dataclass(frozen=True)
class Fitted:
    """What the published code ends up with: classes, centroids [C, L, H, d], and its top heads."""

    classes: list[str]
    centroids: torch.Tensor
    heads: list[tuple[int, int]]


@dataclass(frozen=True)
class Example:
    """Pictures (or one list of frames), the question, and the label."""

    pictures: list[Image.Image]
    question: str
    label: str


def activations(network: torch.nn.Module, processor: object, example: Example, heads: int) -> torch.Tensor:
    """[layers, heads, d]: the inputs of every layer's output projection at the last token."""
    content = [{"type": "image"} for _ in example.pictures] + [{"type": "text", "text": example.question}]
    text = processor.apply_chat_template([{"role": "user", "content": content}], add_generation_prompt=True)
    inputs = processor(text=[text], images=example.pictures or None, return_tensors="pt")
    kept: dict[int, torch.Tensor] = {}
    layers = network.model.language_model.layers
    hooks = [
        layer.self_attn.o_proj.register_forward_hook(
            lambda module, given, out, number=number: kept.__setitem__(number, given[0].detach())
        )
        for number, layer in enumerate(layers)
    ]
    with torch.no_grad():
        network(**inputs)
    for hook in hooks:
        hook.remove()
    last = torch.stack([kept[number][0, -1] for number in range(len(layers))])
    return last.float().reshape(len(layers), heads, -1)


def fit(network: torch.nn.Module, processor: object, examples: list[Example], heads: int, k: int) -> Fitted:
    classes = list(dict.fromkeys(e.label for e in examples))
    means = []
    for name in classes:  # the first pass: centroids
        of_class = [activations(network, processor, e, heads) for e in examples if e.label == name]
        means.append(torch.stack(of_class).mean(dim=0))
    centroids = torch.stack(means)
    layers = centroids.shape[1]
    counts = np.zeros(layers * heads, dtype=int)
    for example in examples:  # the second pass: which heads find the example's own class
        vector = activations(network, processor, example, heads)
        for layer in range(layers):
            for head in range(heads):
                near = _nearest(centroids[:, layer, head], vector[layer, head])
                counts[layer * heads + head] += near == classes.index(example.label)
    top = np.argsort(counts)[-k:][::-1]
    return Fitted(classes, centroids, [(int(i) // heads, int(i) % heads) for i in top])


def vote(
    network: torch.nn.Module, processor: object, fitted: Fitted, example: Example, heads: int
) -> tuple[str, Counter[str]]:
    """The prediction, and each class's votes."""
    vector = activations(network, processor, example, heads)
    ballots = [
        fitted.classes[_nearest(fitted.centroids[:, layer, head], vector[layer, head])]
        for layer, head in fitted.heads
    ]
    votes = Counter(ballots)
    most = max(votes.values())
    return next(name for name in ballots if votes[name] == most), votes


def _nearest(centroids: torch.Tensor, vector: torch.Tensor) -> int:
    return int(torch.nn.functional.cosine_similarity(centroids, vector[None], dim=-1).argmax())

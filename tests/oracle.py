"""The published procedure, written out slowly: one item at a time, three passes over the examples.

Independent of `savs`: it takes a transformers model and its processor, hooks every `o_proj`, keeps
the last token, and follows arXiv 2412.00142 and its authors' code, ties included. Float32.
"""

from collections import Counter
from dataclasses import dataclass
from typing import Any

import decord
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
class Clip:
    """A whole video: frames uint8 [T, height, width, 3], and how many of them are a second; and which
    of them are shown, where that is settled."""

    frames: np.ndarray
    fps: float
    shown: list[int] | None = None


@dataclass(frozen=True)
class Example:
    """Pictures and videos, the question, and the label."""

    media: list[Image.Image | Clip]
    question: str
    label: str = ""


@dataclass(frozen=True)
class Lmm:
    """A transformers model with its processor. Of a video it is shown `frames` frames from the first
    to the last, as published for LLaVA-OneVision, or those that its own processor takes at `fps` frames
    a second, as Qwen's does."""

    network: torch.nn.Module
    processor: Any
    frames: int | None = None
    fps: float | None = None

    @property
    def heads(self) -> int:
        return int(self.network.config.get_text_config().num_attention_heads)


def read_clip(path: str) -> Clip:
    reader = decord.VideoReader(path)
    return Clip(reader.get_batch(range(len(reader))).asnumpy(), reader.get_avg_fps())


def inputs_of(lmm: Lmm, example: Example) -> dict[str, Any]:
    """What transformers' own chat function makes of an example: media first, then the question."""
    content: list[dict[str, Any]] = []
    clips: list[dict[str, Any]] = []
    for media in example.media:
        if isinstance(media, Image.Image):
            content.append({"type": "image", "image": media})
            continue
        shown = frames_of(lmm, media)
        content.append({"type": "video", "video": media.frames[shown]})
        total = len(media.frames)
        clips.append({"total_num_frames": total, "fps": media.fps, "duration": total / media.fps})
        clips[-1]["frames_indices"] = shown
    content.append({"type": "text", "text": example.question})
    by_rate = {} if lmm.fps is None else {"fps": lmm.fps}
    sampling = {"video_metadata": clips, "do_sample_frames": bool(by_rate), **by_rate}
    return dict(
        lmm.processor.apply_chat_template(
            [{"role": "user", "content": content}],
            add_generation_prompt=True,
            tokenize=True,
            return_dict=True,
            return_tensors="pt",
            processor_kwargs=sampling if clips else {},
        )
    )


def frames_of(lmm: Lmm, clip: Clip) -> list[int]:
    """Which frames the processor gets: all of them where it chooses itself."""
    total = len(clip.frames)
    if clip.shown is not None:
        return clip.shown
    if lmm.frames is None:
        return list(range(total))
    return [int(i) for i in np.linspace(0, total - 1, lmm.frames, dtype=int)]


def activations(lmm: Lmm, example: Example) -> torch.Tensor:
    """[layers, heads, d]: the inputs of every layer's output projection at the last token."""
    kept: dict[int, torch.Tensor] = {}
    layers = lmm.network.get_decoder().layers
    hooks = [
        layer.self_attn.o_proj.register_forward_hook(
            lambda module, given, out, number=number: kept.__setitem__(number, given[0].detach())
        )
        for number, layer in enumerate(layers)
    ]
    with torch.no_grad():
        lmm.network(**inputs_of(lmm, example))
    for hook in hooks:
        hook.remove()
    last = torch.stack([kept[number][0, -1] for number in range(len(layers))])
    return last.float().reshape(len(layers), lmm.heads, -1)


def fit(lmm: Lmm, examples: list[Example], k: int) -> Fitted:
    classes = list(dict.fromkeys(e.label for e in examples))
    means = []
    for name in classes:  # the first pass: centroids
        of_class = [activations(lmm, e) for e in examples if e.label == name]
        means.append(torch.stack(of_class).mean(dim=0))
    centroids = torch.stack(means)
    layers = centroids.shape[1]
    counts = np.zeros(layers * lmm.heads, dtype=int)
    for example in examples:  # the second pass: which heads find the example's own class
        vector = activations(lmm, example)
        for layer in range(layers):
            for head in range(lmm.heads):
                near = _nearest(centroids[:, layer, head], vector[layer, head])
                counts[layer * lmm.heads + head] += near == classes.index(example.label)
    top = np.argsort(counts)[-k:][::-1]
    return Fitted(classes, centroids, [(int(i) // lmm.heads, int(i) % lmm.heads) for i in top])


def vote(lmm: Lmm, fitted: Fitted, example: Example) -> tuple[str, Counter[str]]:
    """The prediction, and each class's votes."""
    vector = activations(lmm, example)
    ballots = [
        fitted.classes[_nearest(fitted.centroids[:, layer, head], vector[layer, head])]
        for layer, head in fitted.heads
    ]
    votes = Counter(ballots)
    most = max(votes.values())
    return next(name for name in ballots if votes[name] == most), votes


def _nearest(centroids: torch.Tensor, vector: torch.Tensor) -> int:
    return int(torch.nn.functional.cosine_similarity(centroids, vector[None], dim=-1).argmax())

"""The published loop, as baseline: one item at a time, three passes over the examples, the input and output
of every projection kept for every token, full logits, an image encoded again for each question.

Written from arXiv 2412.00142 and its authors' code; it shares only the reading of files with savs. Never
optimise this file: it is the reference for all speed-ups.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from savs.data.samples import Sample

HEADS = 20


@dataclass(frozen=True)
class Published:
    """The result of the published fit."""

    classes: list[str]
    centroids: torch.Tensor  # [classes, layers, heads, width]
    top: list[tuple[int, int]]


class Loop:
    """The published procedure on an unmodified transformers model."""

    @classmethod
    def load(cls, folder: Path) -> "Loop":
        from transformers import AutoModelForImageTextToText, AutoProcessor

        network = AutoModelForImageTextToText.from_pretrained(folder, dtype=torch.float32)
        return cls(network.eval(), AutoProcessor.from_pretrained(folder))

    def __init__(self, network: Any, processor: Any) -> None:
        self.network, self.processor = network, processor
        self.device = network.get_input_embeddings().weight.device

    def activations(self, sample: Sample) -> torch.Tensor:
        """Return [layers, heads, width]: the inputs of every `o_proj` at the last token."""
        inputs = self.inputs(sample)
        layers = self.network.model.language_model.layers
        kept: list[tuple[torch.Tensor, torch.Tensor]] = []
        hooks = [
            layer.self_attn.o_proj.register_forward_hook(
                lambda module, given, out: kept.append((given[0].detach().clone(), out.detach().clone()))
            )
            for layer in layers
        ]
        with torch.no_grad():
            self.network(**inputs)
        for hook in hooks:
            hook.remove()
        heads = self.network.config.text_config.num_attention_heads
        return torch.stack([given[0, -1].reshape(heads, -1) for given, _ in kept]).float().cpu()

    def inputs(self, sample: Sample) -> Any:
        [path] = sample.media
        if path.endswith(".mp4"):
            shown, given = "video", _video(path)
        else:
            with Image.open(path) as picture:
                shown, given = "image", {"images": [picture.convert("RGB")]}
        content = [{"type": shown}, {"type": "text", "text": sample.question}]
        text = self.processor.apply_chat_template(
            [{"role": "user", "content": content}], add_generation_prompt=True, tokenize=False
        )
        return self.processor(text=[text], return_tensors="pt", **given).to(self.device)

    def fit(self, examples: Sequence[Sample]) -> Published:
        classes = list(dict.fromkeys(str(s.label) for s in examples))
        means = []
        for name in classes:  # first pass
            of_class = [self.activations(s) for s in examples if s.label == name]
            means.append(torch.stack(of_class).mean(0))
        centroids = torch.stack(means)
        counts = np.zeros(centroids.shape[1] * centroids.shape[2], dtype=int)
        for sample in examples:  # second pass
            right = _nearest(centroids, self.activations(sample)) == classes.index(str(sample.label))
            counts += right.flatten().numpy()
        per_layer = centroids.shape[2]
        top = [(int(i) // per_layer, int(i) % per_layer) for i in np.argsort(counts)[-HEADS:][::-1]]
        again = []
        for name in classes:  # third pass: the class means again, for the chosen heads
            again.append(torch.stack([self.activations(s) for s in examples if s.label == name]).mean(0))
        return Published(classes, torch.stack(again), top)

    def label(self, fitted: Published, sample: Sample) -> str:
        nearest = _nearest(fitted.centroids, self.activations(sample))
        ballots = [fitted.classes[int(nearest[layer, head])] for layer, head in fitted.top]
        votes = Counter(ballots)
        return max(dict.fromkeys(ballots), key=lambda name: votes[name])


def _nearest(centroids: torch.Tensor, vectors: torch.Tensor) -> torch.Tensor:
    return torch.nn.functional.cosine_similarity(centroids, vectors[None], dim=-1).argmax(0)


def _video(path: str) -> dict[str, Any]:
    import decord
    from transformers.video_utils import VideoMetadata

    reader = decord.VideoReader(path)
    indices = [round(i * (len(reader) - 1) / 15) for i in range(16)]
    frames = reader.get_batch(indices).asnumpy()
    fps = float(reader.get_avg_fps())
    about = VideoMetadata(
        total_num_frames=len(reader),
        fps=fps,
        duration=len(reader) / fps,
        frames_indices=indices,
        height=frames.shape[1],
        width=frames.shape[2],
        video_backend="decord",
    )
    return {"videos": [frames], "videos_kwargs": {"do_sample_frames": False, "video_metadata": [about]}}

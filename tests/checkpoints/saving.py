"""What all the tiny checkpoints share: their weights, and the decoder's size."""

from pathlib import Path
from typing import Any

import torch

from tests.checkpoints.tokens import CONTEXT

SPREAD = 0.12  # standard deviation of weights: large enough that pictures differ in their vectors
MEAN = STD = [0.5, 0.5, 0.5]

# Three layers of 4 query heads over 2 key/value heads.
TEXT: dict[str, Any] = {
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": CONTEXT,
}
VISION: dict[str, Any] = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
}


def text_config(tokenizer: Any, **more: Any) -> dict[str, Any]:
    """`TEXT` with the tokenizer's numbers, and `more`."""
    ids = {f"{name}_token_id": getattr(tokenizer, f"{name}_token_id") for name in ("bos", "eos", "pad")}
    return {**TEXT, "vocab_size": len(tokenizer), **ids, **more}


def save(folder: Path, network: torch.nn.Module, processor: Any) -> Path:
    """Fills the weights in and writes the checkpoint into `folder`."""
    randomize(network)
    network.save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder


def randomize(network: torch.nn.Module) -> None:
    """Draws all weights but biases and norms."""
    for parameter in network.parameters():
        if parameter.ndim > 1:
            torch.nn.init.normal_(parameter, std=SPREAD)

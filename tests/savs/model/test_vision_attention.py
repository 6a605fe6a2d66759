"""Attention in chunks is attention, chunk by chunk."""

from types import SimpleNamespace

import pytest
import torch
from transformers import AutoModelForImageTextToText

from savs.model.vision_attention import NAME, attend, attend_in_chunks


@pytest.mark.parametrize("lengths", [[5, 5, 5, 5], [7], [3, 8, 3, 1, 8, 2]])
def test_chunks_of_any_length_attend_to_themselves_alone(lengths: list[int]) -> None:
    torch.manual_seed(0)
    query, key, value = torch.randn(3, 1, 4, sum(lengths), 16).unbind(0)
    borders = torch.tensor([0, *torch.tensor(lengths).cumsum(0).tolist()], dtype=torch.int32)

    out, _ = attend(
        SimpleNamespace(), query, key, value, cu_seq_lens_q=borders, max_length_q=max(lengths), scaling=0.3
    )

    for start, length in zip(borders.tolist(), lengths, strict=False):
        own = slice(start, start + length)
        q, k, v = (tensor[0, :, own] for tensor in (query, key, value))
        slow = torch.softmax(q @ k.transpose(1, 2) * 0.3, dim=-1) @ v
        assert torch.allclose(out[0, own], slow.transpose(0, 1), atol=1e-5)


def test_a_tower_that_takes_chunks_uses_it_and_the_language_model_does_not(qwen2_5_vl: object) -> None:
    network = AutoModelForImageTextToText.from_pretrained(qwen2_5_vl)

    assert attend_in_chunks(network) == len(network.model.visual.blocks)
    assert network.model.visual.config._attn_implementation == NAME
    assert network.config.get_text_config()._attn_implementation == "sdpa"

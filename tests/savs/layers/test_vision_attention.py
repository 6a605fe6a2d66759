"""Attention in chunks is attention, chunk by chunk."""

from collections.abc import Callable
from types import SimpleNamespace

import pytest
import torch
from transformers import AutoModelForImageTextToText

from savs.layers.vision_attention import NAME, _by_length, _joined, attend, attend_in_chunks


@pytest.mark.parametrize("lengths", [[5, 5, 5, 5], [7], [3, 8, 8, 3, 1, 8, 2, 2], [3, 5, 3, 5, 5]])
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
    # and so where a GPU computes all of one length at once
    torch.testing.assert_close(_by_length((query, key, value), lengths, 0.3), out[0])


def test_a_tower_that_takes_chunks_uses_it_and_the_language_model_does_not(qwen2_5_vl: object) -> None:
    network = AutoModelForImageTextToText.from_pretrained(qwen2_5_vl)

    assert attend_in_chunks(network) == len(network.model.visual.blocks)
    assert network.model.visual.config._attn_implementation == NAME
    assert network.config.get_text_config()._attn_implementation == "sdpa"


def call_of_a_gpu(monkeypatch: pytest.MonkeyPatch, error: Exception) -> Callable[[], object]:
    """The call that handles all chunks at once, on a GPU that answers with `error`."""

    def refused(*_: object, **__: object) -> torch.Tensor:
        raise error

    monkeypatch.setattr("torch.nn.attention.varlen.varlen_attn", refused)
    monkeypatch.setattr("savs.layers.vision_attention.TOLD", set())
    states = torch.zeros(1, 2, 6, 8)
    return lambda: _joined(states, states, states, torch.tensor([0, 4, 6]), 4, None)


def test_a_gpu_without_one_call_for_all_chunks_is_told_of_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    call = call_of_a_gpu(monkeypatch, RuntimeError("head widths up to 256"))

    assert call() is None and call() is None
    assert [record.message.partition(": ")[2] for record in caplog.records] == ["head widths up to 256"]


def test_a_lack_of_memory_is_not_taken_for_a_gpu_that_cannot(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(torch.OutOfMemoryError):
        call_of_a_gpu(monkeypatch, torch.OutOfMemoryError("no memory"))()

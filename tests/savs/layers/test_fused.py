"""Norms and rotations as one kernel each give what several give, or are not used.

On a CPU they are off. Here they are switched on, and Triton's interpreter runs the rotation.
"""

import copy
import logging
from collections import Counter
from collections.abc import Iterator

import pytest
import torch
from PIL import Image
from torch import nn
from transformers.models.qwen2_5_vl import modeling_qwen2_5_vl as qwen

import savs
from savs.engine.packing import PackedRow
from savs.layers import fused
from savs.layers.fused import Fused, fuse
from savs.trials.vectors import vectors_of


@pytest.fixture
def on_a_cpu(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(fused, "DEVICES", {"cpu"})
    yield


def parts(network: nn.Module) -> Counter[tuple[str, bool]]:
    found = [vars(module).get("forward") for module in network.modules()]
    return Counter(
        (one.kind, said) for one in found if isinstance(one, Fused) for said in one.agrees.values()
    )


class ShiftedNorm(nn.Module):
    """Gemma's norm, whose weight is relative to one."""

    def __init__(self) -> None:
        super().__init__()
        self.weight, self.eps = nn.Parameter(torch.zeros(8)), 1e-6

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        return hidden * torch.rsqrt(hidden.pow(2).mean(-1, keepdim=True) + self.eps) * (1 + self.weight)


def test_head_vectors_are_the_same(
    qwen2_5: savs.Model, on_a_cpu: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn = Image.linear_gradient("L")
    pictures = [drawn.resize(size).convert("RGB") for size in ((84, 56), (56, 140))]
    rows = [PackedRow((picture,), ("What is it?",), (n,), 0) for n, picture in enumerate(pictures)]
    expected = vectors_of(qwen2_5, rows)
    for name in fused.ROTATIONS:
        monkeypatch.setattr(qwen, name, vars(qwen)[name])  # put back behind the test
    model = copy.deepcopy(qwen2_5)

    fuse(model.network)
    fuse(model.network)  # once more changes nothing

    for number, vector in vectors_of(model, rows).items():
        torch.testing.assert_close(vector, expected[number], rtol=1e-4, atol=1e-5)
    assert parts(model.network).keys() == {("norm", True)}
    for name in fused.ROTATIONS:
        rotation = vars(qwen)[name]
        assert set(rotation.agrees.values()) == {True} and not isinstance(rotation.plain, Fused)


def test_inputs_of_another_kind_are_tried_again(on_a_cpu: None) -> None:
    # given a function that is right for float32 alone
    part = Fused(torch.neg, lambda given: -given.float(), "norm")

    with torch.inference_mode():
        found = [part(torch.ones(2, dtype=dtype)) for dtype in (torch.float32, torch.bfloat16) * 2]

    assert [one.dtype for one in found] == [torch.float32, torch.bfloat16] * 2
    assert list(part.agrees.values()) == [True, False]


def test_a_norm_of_another_kind_stays_as_it_is(on_a_cpu: None) -> None:
    norm = ShiftedNorm()
    network = nn.Sequential(norm)
    given = torch.randn(3, 8)
    with torch.inference_mode():
        expected = norm(given)
        fuse(network)

        assert torch.equal(network(given), expected)
    assert parts(network) == {("norm", False): 1}


def test_without_a_compiler_the_log_says_once_that_it_is_slower(
    on_a_cpu: None, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(given: torch.Tensor) -> torch.Tensor:
        raise RuntimeError("Failed to find C compiler.\nPlease specify one")

    part = Fused(torch.neg, refuse, "rotation")
    with torch.inference_mode(), caplog.at_level(logging.WARNING, "savs.fused"):
        found = [part(torch.ones(2)) for _ in range(3)]

    assert all(torch.equal(one, -torch.ones(2)) for one in found)
    [line] = caplog.messages
    assert line == "a rotation runs as several kernels, which is slower: Failed to find C compiler."


def test_a_lack_of_memory_is_not_hidden(on_a_cpu: None) -> None:
    def refuse(given: torch.Tensor) -> torch.Tensor:
        raise torch.OutOfMemoryError("out of memory")

    with torch.inference_mode(), pytest.raises(torch.OutOfMemoryError):
        Fused(torch.neg, refuse, "norm")(torch.ones(2))


def test_training_uses_the_original(on_a_cpu: None) -> None:
    part = Fused(torch.neg, torch.abs, "norm")

    part(torch.ones(2, requires_grad=True))

    assert not part.agrees

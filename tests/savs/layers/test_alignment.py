"""Inner widths that a GPU multiplies slowly are padded with zeros, and nothing else changes."""

import torch
from torch import nn

from savs.layers.alignment import align_inner_widths


class Gated(nn.Module):
    """A gated activation as in transformers."""

    def __init__(self, width: int, inner: int, bias: bool) -> None:
        super().__init__()
        self.gate_proj, self.up_proj = nn.Linear(width, inner, bias), nn.Linear(width, inner, bias)
        self.down_proj, self.act_fn = nn.Linear(inner, width, bias), nn.SiLU()

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = self.down_proj(self.act_fn(self.gate_proj(hidden)) * self.up_proj(hidden))
        return found


def test_a_padded_width_gives_the_same_results() -> None:
    torch.manual_seed(1)
    network = nn.Sequential(Gated(16, 3420, bias=True), Gated(16, 20, bias=False))
    given = torch.randn(5, 16)
    with torch.inference_mode():
        before = network(given)

        assert align_inner_widths(network) == 2

        assert [part.down_proj.in_features for part in network] == [3456, 64]
        assert [tuple(part.gate_proj.weight.shape) for part in network] == [(3456, 16), (64, 16)]
        torch.testing.assert_close(network(given), before, rtol=1e-5, atol=1e-6)
    assert align_inner_widths(network) == 0


def test_an_aligned_width_and_other_modules_stay() -> None:
    odd = nn.Sequential(nn.Linear(16, 21), nn.SiLU(), nn.Linear(21, 16))
    network = nn.ModuleList([Gated(16, 24, bias=True), odd])
    before = {name: value.clone() for name, value in network.state_dict().items()}

    assert align_inner_widths(network) == 0

    after = network.state_dict()
    assert all(torch.equal(after[name], value) for name, value in before.items())

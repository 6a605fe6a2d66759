"""Rows that branch attend as one mask over the whole row would have it."""

from types import SimpleNamespace

import pytest
import torch

from savs.layers.branches import Branches, attend, branching

# Tokens of the beginning and of each end: of several lengths, one end only, and a row shorter than the
# other's beginning.
ROWS = [(7, [3, 1, 5]), (2, [2]), (12, [1, 4])]


def masked(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
    """[rows, n, heads, width]: every token sees the beginning and its own part, up to itself."""
    n = query.shape[2]
    seen = torch.zeros(len(ROWS), 1, n, n, dtype=torch.bool)
    for line, (begin, ends) in enumerate(ROWS):
        part = torch.full((n,), -1)
        part[:begin] = 0
        for number, size in enumerate(ends, 1):
            start = begin + sum(ends[: number - 1])
            part[start : start + size] = number
        seen[line, 0] = ((part == 0)[None] | (part[:, None] == part[None])) & torch.ones(n, n).tril().bool()
    groups = query.shape[1] // key.shape[1]
    key, value = (t.repeat_interleave(groups, dim=1) for t in (key, value))
    found = torch.nn.functional.scaled_dot_product_attention(query, key, value, attn_mask=seen, scale=0.3)
    return found.transpose(1, 2)


@pytest.mark.parametrize(
    ("heads", "groups", "width", "of_values"), [(4, 4, 8, 8), (6, 2, 8, 8), (4, 1, 8, 16)]
)
@pytest.mark.parametrize("keys", [2**18, 40])  # all ends at once, or two at a time
def test_branches_give_what_a_mask_gives(
    heads: int, groups: int, width: int, of_values: int, keys: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("savs.layers.branches.KEYS", keys)
    torch.manual_seed(3)
    n = max(begin + sum(ends) for begin, ends in ROWS)
    query, key = torch.randn(3, heads, n, width), torch.randn(3, groups, n, width)
    value = torch.randn(3, groups, n, of_values)
    module = SimpleNamespace(num_key_value_groups=heads // groups, is_causal=True)

    branches = Branches.of(ROWS)
    with branching(branches):
        moved = branches.as_mask(query.device).clone()  # as onto another device
        out, _ = attend(module, query, key, value, moved, scaling=0.3)

    whole = masked(query, key, value)
    for line, (begin, ends) in enumerate(ROWS):
        used = begin + sum(ends)
        assert torch.allclose(out[line, :used], whole[line, :used], atol=1e-6)
    # and padding, which others' beginnings may look at behind a mask, is nothing that spoils a sum
    assert out.isfinite().all()


def test_another_mask_in_the_same_pass_is_what_it_always_was() -> None:
    query, key, value = torch.randn(3, 2, 4, 5, 8)
    mask = torch.ones(2, 1, 5, 5).tril().bool()

    with branching(Branches.of(ROWS)):
        out, _ = attend(SimpleNamespace(), query, key, value, mask, scaling=0.5)

    plain = torch.nn.functional.scaled_dot_product_attention(query, key, value, attn_mask=mask, scale=0.5)
    assert torch.equal(out, plain.transpose(1, 2))


@pytest.mark.parametrize("more", ["position_bias", "s_aux", "softcap"])
def test_an_attention_that_is_more_than_a_mask_is_refused(more: str) -> None:
    query, key, value = torch.randn(3, 3, 4, 14, 8)
    branches = Branches.of(ROWS)
    mask = branches.as_mask(query.device)

    with branching(branches), pytest.raises(NotImplementedError):
        attend(SimpleNamespace(), query, key, value, mask, **{more: torch.ones(1)})

"""A model shares rows only if the trial at load time says that nothing changes."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

import savs
from savs.engine.packing import PackedRow
from savs.errors import UnusablePrompt
from savs.trials.sharing import sharing_is_exact


def test_positions_that_are_wrong_behind_videos_alone_are_seen_at_load_time(
    qwen2_5_vl: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given ends that begin behind the last frame, as they once did here
    right = savs.engine.sharing.lay_out

    def wrong(inputs, joined, where, pad):  # type: ignore[no-untyped-def]
        where = where.clone()
        for i, row in enumerate(joined):
            where[..., i, len(row.beginning)] = where[..., i, : len(row.beginning)].max() + 1
        return right(inputs, joined, where, pad)

    monkeypatch.setattr("savs.engine.batches.lay_out", wrong)

    assert not savs.load_model(qwen2_5_vl, device="cpu").shares


def test_a_model_that_looks_at_a_picture_from_both_sides_does_not_share(
    family_model: Callable[[str], savs.Model],
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model = family_model("gemma3")
    assert not model.shares
    # not even where its layers, which look back 24 tokens here, are no reason
    monkeypatch.setattr("savs.engine.batches.window_of", lambda model: None)
    with caplog.at_level("INFO"):
        assert not sharing_is_exact(model)
    assert "one row per question (cosine" in caplog.text


def test_shared_rows_depend_on_the_positions_that_are_tried_at_load_time(
    qwen2_vl: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given positions that begin anew at zero, as stale ones do
    monkeypatch.setattr(
        "savs.engine.sharing.positions", lambda network, inputs: torch.zeros_like(inputs["input_ids"])
    )
    monkeypatch.setattr(
        "savs.engine.batches.positions", lambda network, inputs: torch.zeros_like(inputs["input_ids"])
    )

    # then the model is loaded, and does not share
    assert not savs.load_model(qwen2_vl, device="cpu").shares


@pytest.mark.parametrize("unreadable", ["NaN", "refused"])
def test_a_model_whose_trial_says_nothing_does_not_share(
    qwen2_5: savs.Model, monkeypatch: pytest.MonkeyPatch, unreadable: str
) -> None:
    assert sharing_is_exact(qwen2_5)

    def vectors(model: savs.Model, rows: list[PackedRow]) -> dict[int, torch.Tensor]:
        if unreadable == "refused":
            raise UnusablePrompt("takes no pictures")
        # in one head of the last prompt alone, behind many that are right
        found = {n: torch.ones(model.layout.width) for row in rows for n in row.numbers}
        if model.shares:
            found[max(found)][-1] = torch.nan
        return found

    monkeypatch.setattr("savs.trials.sharing.vectors_of", vectors)

    assert not sharing_is_exact(qwen2_5)

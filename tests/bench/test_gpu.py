"""The benchmark for GPUs, on a CPU."""

import json
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import transformers
from PIL import Image
from torch.utils.flop_counter import FlopCounterMode

from bench import gpu
from bench.engine import flops, shapes
from savs.engine import batches
from savs.engine.batches import Batch
from savs.engine.forward import read_vectors
from savs.engine.packing import PackedRow
from savs.model.branches import Branches

CPU = torch.device("cpu")


def test_it_runs_on_a_cpu_where_bars_are_told_and_not_judged(capsys: pytest.CaptureFixture[str]) -> None:
    code = gpu.main("demo", CPU, items=2, side=112)
    *said, last = capsys.readouterr().out.splitlines()
    report = json.loads(last)
    assert code == 0
    assert any("only on a GPU" in line and "≥ 0.6" in line for line in said)
    value = {figure["name"]: figure["value"] for figure in report["results"]}
    for work, items in (("images", 2), ("videos", 2), ("videos, 15 questions", 30)):
        assert report["counts"][work]["items"] == items
        # Every label is what the published loop says, and the device is not busier than always.
        assert value[f"{work}: labels that equal the loop's"] == 2
        assert 0 < value[f"{work}: device busy"] <= 1
        assert value[f"{work}: of the matrix product"] > 0 and value[f"{work}: × the loop"] > 0
        assert {"fetch", "decode", "preprocess", "copy", "vision", "language"} <= set(
            report["milliseconds"][work]
        )


def test_a_missed_bar_is_an_error_on_a_gpu_alone() -> None:
    slow = [gpu.Figure("images: device busy", 0.5, ""), gpu.Figure("images: items/s", 89, "/s")]
    assert [f.met for f in gpu.with_bars(slow, "qwen2.5-vl-7b", gpu=True)] == [False, False]
    assert [f.met for f in gpu.with_bars(slow, "qwen2.5-vl-3b", gpu=True)] == [False, None]
    assert [f.met for f in gpu.with_bars(slow, "qwen2.5-vl-7b", gpu=False)] == [None, None]


@pytest.mark.parametrize(
    ("shape", "size"),
    [
        ("qwen2.5-vl-7b", (224, 224)),
        ("qwen2.5-vl-7b", (300, 210)),  # its windows do not come out even
        ("llava-onevision-7b", (224, 224)),
    ],
)
def test_operations_are_those_that_torch_counts(
    shape: str, size: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    # given a model of that shape, but small
    small = {"intermediate_size": 96, "num_hidden_layers": 3, "num_attention_heads": 2}
    tower = {"hidden_size": 64, "intermediate_size": 96}
    seven = shapes.SEVEN | small | {"hidden_size": 256, "num_key_value_heads": 1}
    qwen = {"depth": 3, "num_heads": 2, "fullatt_block_indexes": [1]}
    monkeypatch.setattr(shapes, "SEVEN", seven)
    monkeypatch.setattr(shapes, "QWEN_VISION", shapes.QWEN_VISION | tower | qwen)
    monkeypatch.setattr(shapes, "SIGLIP", shapes.SIGLIP | tower | small)
    model = shapes.build(shape, CPU)
    [batch], _ = batches.build(
        model, [PackedRow((Image.new("RGB", size, "red"),), ("What is it?",), (0,), 0)]
    )
    for last in (0, 2):  # if nothing above a layer is run
        with FlopCounterMode(display=False) as counter:
            read_vectors(model, batch, {last})
        counted = sum(flops.of_row(model.network.config, batch, last).values())
        # then it is what torch counts, which takes both halves of a causal attention
        tokens = batch.tokens
        masked = (last + 1) * 4 * seven["hidden_size"] * tokens * (tokens - 1) // 2
        assert counted + masked == pytest.approx(counter.get_total_flops(), rel=1e-4)


def test_tokens_of_a_row_that_branches_see_its_beginning_and_their_own_end() -> None:
    text = SimpleNamespace(
        hidden_size=8, num_attention_heads=2, head_dim=4, num_key_value_heads=1, intermediate_size=16
    )

    def operations(branches: Branches | None) -> int:
        inputs = {"input_ids": torch.zeros(1, 15, dtype=torch.int64)}
        return flops.of_decoder(text, Batch(inputs, (), (), (), (), branches), 0)

    pairs = 7 * 8 // 2 + 3 * 7 + 3 * 4 // 2 + 5 * 7 + 5 * 6 // 2
    saved = operations(None) - operations(Branches.of([(7, [3, 5])]))
    assert saved == 4 * 8 * (15 * 16 // 2 - pairs)


@pytest.mark.parametrize("shape", [name for name in shapes.SHAPES if name != "demo"])
def test_shapes_have_as_many_parameters_as_the_published_models(shape: str) -> None:
    billions = {"qwen2.5-vl-7b": 8.29, "qwen2.5-vl-3b": 3.75, "llava-onevision-7b": 8.03}
    words = transformers.AutoTokenizer.from_pretrained(shapes.DEMO)
    config: Any = (shapes._llava(words) if shape.startswith("llava") else shapes.qwen(shape, words))[0]
    with torch.device("meta"):
        network = transformers.AutoModelForImageTextToText.from_config(config)
    assert sum(p.numel() for p in network.parameters()) / 1e9 == pytest.approx(billions[shape], abs=0.01)

"""The measurement for GPUs, on a CPU."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import transformers
from PIL import Image
from torch.utils.flop_counter import FlopCounterMode

from bench.engine import flops, shapes
from bench.figures import Figure
from bench.gpu import __main__ as gpu
from bench.gpu.busy import gaps, union
from bench.gpu.setting import Found, Setting
from bench.gpu.throughput import with_bars
from savs.engine import batches
from savs.engine.batches import Batch
from savs.engine.forward import read_vectors
from savs.engine.packing import PackedRow
from savs.layers.branches import Branches

CPU = torch.device("cpu")


def test_it_runs_on_a_cpu_and_every_step_leaves_a_line(tmp_path: Path) -> None:
    code = gpu.main(Setting(CPU, "demo", tmp_path, items=4, side=112), tmp_path / "out")

    lines = [json.loads(line) for line in (tmp_path / "out/gpu-demo.jsonl").read_text().splitlines()]
    assert code == 0
    assert [line["step"] for line in lines] == list(gpu.STEPS)
    value = {figure["name"]: figure["value"] for line in lines for figure in line["figures"]}
    details = {line["step"]: line["details"] for line in lines}
    found = {"pictures": (details["pictures"], 4)}
    found |= {"videos": (details["videos"]["videos"], 2)}
    found |= {"videos, 15 questions": (details["videos"]["videos, 15 questions"], 30)}
    for work, (said, items) in found.items():
        assert said["counts"]["items"] == items
        # Every label is what the published loop says.
        assert value[f"{work}: labels that equal the loop's"] == min(items, 8)
        assert value[f"{work}: of the matrix product"] > 0 and value[f"{work}: × the loop"] > 0
        assert {"fetch", "decode", "preprocess", "copy", "vision", "language"} <= set(said["milliseconds"])
    assert value["float32, three questions: least cosine"] == pytest.approx(1, abs=1e-5)


def test_a_step_that_fails_leaves_its_error_and_the_others_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(setting: Setting) -> Found:
        raise RuntimeError("no such kernel")

    monkeypatch.setattr(gpu, "STEPS", {"first": fail, "second": lambda setting: Found([], {"a": 1})})

    code = gpu.main(Setting(CPU, "demo", tmp_path, 4, 112), tmp_path)

    first, second = map(json.loads, (tmp_path / "gpu-demo.jsonl").read_text().splitlines())
    assert code == 1
    assert first["error"] == "RuntimeError: no such kernel"
    assert second["details"] == {"a": 1}


def test_no_step_starts_when_the_time_is_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu, "STEPS", {"only": lambda setting: Found([], {"a": 1})})

    assert gpu.main(Setting(CPU, "demo", tmp_path, 4, 112), tmp_path, seconds=0) == 0

    [line] = map(json.loads, (tmp_path / "gpu-demo.jsonl").read_text().splitlines())
    assert line["details"] == {"left out": "the time is over"}


def test_a_missed_bar_is_an_error_on_a_gpu_alone(tmp_path: Path) -> None:
    slow = [Figure("pictures: of the matrix product", 0.5, ""), Figure("pictures: items/s", 89, "/s")]

    def met(device: str, shape: str) -> list[bool | None]:
        return [f.met for f in with_bars(slow, Setting(torch.device(device), shape, tmp_path, 4, 112))]

    assert met("cuda", "qwen2.5-vl-7b") == [False, False]
    assert met("cuda", "qwen2.5-vl-3b") == [False, None]
    assert met("cpu", "qwen2.5-vl-7b") == [None, None]


def test_time_in_which_two_kernels_run_counts_once() -> None:
    spans = [(0.0, 4000.0), (1000.0, 2000.0), (3000.0, 6000.0), (9000.0, 10_000.0)]

    assert union(spans) == 7000
    assert gaps(spans)[:2] == [3.0, 0.0]


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

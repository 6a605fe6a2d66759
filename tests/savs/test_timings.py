"""Where the time of a run goes."""

import time
from pathlib import Path

import pytest
import torch

import savs
from savs.timings import Marks, Timings
from tests.savs.data.drawing import noise

OF_THE_DEVICE = ("vision", "language", "readout")


def test_the_time_of_a_run_is_told_by_what_took_it(qwen2_5: savs.Model, tmp_path: Path) -> None:
    noise(84, 84, 1).save(tmp_path / "a.png")
    rows = [savs.Sample(i, str(i), (str(tmp_path / "a.png"),), "What is it?" * (i + 1)) for i in range(3)]
    timings = Timings()
    began = time.perf_counter()
    savs.extract(qwen2_5, rows, timings=timings)
    passed = time.perf_counter() - began
    seconds = timings.seconds
    assert all(seconds[stage] > 0 for stage in ("fetch", "decode", "preprocess", "copy", *OF_THE_DEVICE))
    # The device is busy with what is its own, and with nothing twice.
    assert seconds["device"] == pytest.approx(sum(seconds[stage] for stage in OF_THE_DEVICE))
    assert seconds["device"] + seconds["copy"] <= passed


def test_what_is_slow_before_the_decoder_counts_as_vision_and_what_is_slow_in_it_as_language(
    qwen2_5: savs.Model, tmp_path: Path
) -> None:
    noise(84, 84, 1).save(tmp_path / "a.png")
    row = savs.Sample(0, "0", (str(tmp_path / "a.png"),), "What is it?")
    base = qwen2_5.network.base_model
    for stage, module in (("vision", base.visual), ("language", base.language_model.layers[0])):
        # given a tower, or a layer, that takes a fifth of a second longer
        hook = module.register_forward_pre_hook(lambda *_: time.sleep(0.2))
        timings = Timings()
        savs.extract(qwen2_5, [row], timings=timings)
        hook.remove()
        # then that stage has it, and the other has not
        slow = {name for name in ("copy", *OF_THE_DEVICE) if timings.seconds[name] >= 0.2}
        assert slow == {stage}, timings.seconds


def test_stages_of_several_batches_add_up() -> None:
    timings = Timings()
    for _ in range(2):
        marks = Marks(torch.device("cpu"))
        marks.end("copy")
        time.sleep(0.01)
        marks.end("vision")
        marks.add_to(timings)
    assert timings.seconds["vision"] >= 0.02 and timings.seconds["device"] == timings.seconds["vision"]

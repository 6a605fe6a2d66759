"""Between two batches nothing waits for the device.

On a GPU such waits are calls that need a value from it: `item`, `nonzero`, an index that is a mask. A CPU has
nothing to wait for, but the same calls can be counted there.
"""

import traceback
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

import savs
from savs.engine import extract
from savs.engine.windows import Request
from savs.timings import Timings

WAITING = {"_local_scalar_dense", "item", "is_nonzero", "nonzero", "masked_select", "_unique2"}
WAITING |= {"unique_consecutive", "repeat_interleave", "equal"}
# In the middle of a batch: transformers compares the number of placeholders with that of the features.
ALLOWED = {"get_placeholder_mask", "torch_compilable_check"}


class Waits(TorchDispatchMode):
    """Counts calls that would wait for a GPU, by the function of savs or transformers that makes them."""

    def __init__(self) -> None:
        super().__init__()
        self.found: Counter[str] = Counter()

    def __torch_dispatch__(self, called: Any, types: Any, given: Any = (), options: Any = None) -> Any:
        name = called.overloadpacket.__name__
        masks = given[1] if name in ("index", "index_put_", "index_put") else ()
        masked = any(one is not None and one.dtype == torch.bool for one in masks)
        if name in WAITING or masked:
            frames = [f for f in traceback.extract_stack()[:-1] if "/torch/" not in f.filename]
            self.found[frames[-1].name] += 1
        return called(*given, **(options or {}))


@contextmanager
def counted() -> Iterator[Counter[str]]:
    with Waits() as waits:
        yield waits.found


@pytest.fixture
def requests(corner_pictures: list[savs.Sample]) -> list[Request]:
    return [Request(n, sample, sample.question) for n, sample in enumerate(corner_pictures)]


def test_no_call_between_two_batches_waits_for_the_device(
    qwen2_5: savs.Model, requests: list[Request], monkeypatch: pytest.MonkeyPatch
) -> None:
    # given a model as on a GPU, where another thread prepares, and batches of three pictures
    model = replace(qwen2_5, derives=True)
    monkeypatch.setattr(extract, "_preparing", lambda model: ThreadPoolExecutor(1))
    timings, budget = Timings(), savs.engine.packing.Budget(tokens=150, pixels=10**6)

    with counted() as waits:
        labelled = sum(len(part.numbers) for part in extract.stream(model, requests, timings, budget=budget))

    assert labelled == len(requests) and timings.counts["forwards"] >= 4
    assert set(waits) <= ALLOWED, waits
    assert all(number <= timings.counts["forwards"] for number in waits.values())


def test_the_count_finds_what_a_model_derives_on_its_device(
    qwen2_5: savs.Model, requests: list[Request]
) -> None:
    with counted() as waits:
        for _ in extract.stream(replace(qwen2_5, derives=False), requests, Timings()):
            pass

    assert {"get_vision_window_index", "get_max_seqlen"} <= set(waits)

"""A run: what memory or the network refuses is cut in two, and results do not depend on it."""

import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import savs
from savs.engine.batches import build
from savs.engine.engine import Built
from savs.engine.extract import stream
from savs.engine.packing import Budget, PackedRow
from savs.engine.windows import Request
from savs.errors import UnusablePrompt
from savs.timings import Timings
from tests.savs.data.drawing import noise


@pytest.fixture
def model(qwen2_vl: Path) -> savs.Model:
    """One that a test may break."""
    return savs.load_model(qwen2_vl, device="cpu")


def refusing(model: savs.Model, error: Exception, rows: int) -> list[int]:
    """Makes the network raise `error` for more than `rows` rows; the sizes of the batches it is given."""
    seen: list[int] = []
    real = model.network.model.forward

    def forward(*arguments: object, **inputs: object) -> object:
        ids = inputs["input_ids"]
        assert isinstance(ids, torch.Tensor)
        seen.append(len(ids))
        if len(ids) > rows:
            raise error
        return real(*arguments, **inputs)

    model.network.model.forward = forward
    return seen


def test_a_batch_that_does_not_fit_into_memory_is_halved_and_so_are_all_after_it(
    model: savs.Model, corner_pictures: list[savs.Sample]
) -> None:
    calm = savs.extract(model, corner_pictures)
    seen = refusing(model, torch.OutOfMemoryError("no memory"), 3)
    budget = Budget(8 * 50, 10**9)

    found = savs.extract(model, corner_pictures, budget=budget)

    assert found.samples == calm.samples and not found.errors
    assert np.allclose(found.vectors.values, calm.vectors.values, atol=1e-3)
    assert max(seen[1:]) <= 8 and seen[-1] <= 3


def test_batches_that_were_packed_before_the_budget_shrank_do_not_shrink_it_further(
    model: savs.Model, tmp_path: Path
) -> None:
    # given batches of 32 rows, of which only 10 fit
    items = []
    for seed in range(96):
        noise(56, 56, seed).save(tmp_path / f"{seed}.png")
        items.append({"image": str(tmp_path / f"{seed}.png"), "question": "What is it?"})
    seen = refusing(model, torch.OutOfMemoryError("no memory"), 10)

    found = savs.extract(model, items, budget=Budget(10**9, 32 * 56 * 56))

    assert not found.errors and len(found.samples) == 96
    assert seen[:2] == [32, 16] and seen.count(16) >= 2  # both halves are refused
    assert min(seen) == 8


def test_a_single_item_that_does_not_fit_into_memory_is_no_fault_of_the_item(
    model: savs.Model, corner_pictures: list[savs.Sample]
) -> None:
    refusing(model, torch.OutOfMemoryError("no memory"), 0)

    with pytest.raises(torch.OutOfMemoryError):
        savs.extract(model, corner_pictures[:2])


def test_an_item_that_the_network_refuses_costs_its_row(
    model: savs.Model, corner_pictures: list[savs.Sample]
) -> None:
    real = model.network.model.forward
    word = model.processor.tokenizer("crescent")["input_ids"][-1]

    def forward(*arguments: object, **inputs: object) -> object:
        ids = inputs["input_ids"]
        assert isinstance(ids, torch.Tensor)
        if (ids == word).any():
            raise ValueError("no such thing")
        return real(*arguments, **inputs)

    model.network.model.forward = forward
    rows = [*corner_pictures[:3], savs.Sample(3, "3", corner_pictures[3].media, "Is it a crescent")]

    found = savs.extract(model, rows)

    assert found.samples == tuple(rows[:3])
    assert isinstance(found.errors[3], UnusablePrompt) and "no such thing" in str(found.errors[3])


def test_every_request_comes_once_in_whatever_order(
    model: savs.Model, corner_pictures: list[savs.Sample]
) -> None:
    requests = [Request(7 * n, s, s.question) for n, s in enumerate(corner_pictures)]

    parts = list(stream(model, requests, Timings(), budget=Budget(100, 10**9)))

    numbers = [n for part in parts for n in (*part.numbers, *part.errors)]
    assert sorted(numbers) == [7 * n for n in range(len(requests))]
    assert sorted(n for part in parts for n in part.digests) == sorted(numbers)


def test_the_same_requests_give_the_same_numbers_to_the_last_bit(
    model: savs.Model, corner_pictures: list[savs.Sample]
) -> None:
    one, other = (savs.extract(model, corner_pictures, budget=Budget(200, 10**9)) for _ in range(2))

    assert np.array_equal(one.vectors.values, other.vectors.values)


@pytest.fixture(params=["cpu", "gpu"])
def preparing(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Whether batches are prepared one after the other, as on a CPU, or ahead, as on a GPU."""
    if request.param == "gpu":
        monkeypatch.setattr("savs.engine.extract._preparing", lambda model: ThreadPoolExecutor(1))
    return str(request.param)


def test_batches_that_are_prepared_ahead_give_the_same_vectors(
    model: savs.Model, corner_pictures: list[savs.Sample], preparing: str
) -> None:
    few_at_once = savs.extract(model, corner_pictures, budget=Budget(4 * 50, 10**9))

    one_by_one = [savs.extract(model, [sample]).vectors.values[0] for sample in corner_pictures]
    assert np.allclose(few_at_once.vectors.values, one_by_one, atol=1e-5)


def test_one_thread_alone_calls_the_processor_whatever_is_cut_in_two(
    model: savs.Model,
    corner_pictures: list[savs.Sample],
    monkeypatch: pytest.MonkeyPatch,
    preparing: str,
) -> None:
    # because tokenizers that two threads use at once raise, as if an item were at fault
    threads = set()

    def watched(model: savs.Model, rows: Sequence[PackedRow]) -> Built:
        threads.add(threading.current_thread())
        return build(model, rows)

    monkeypatch.setattr("savs.engine.engine.build", watched)
    seen = refusing(model, torch.OutOfMemoryError("no memory"), 1)

    found = savs.extract(model, corner_pictures, budget=Budget(4 * 50, 10**9))

    assert not found.errors and max(seen) > 1
    assert len(threads) == 1 and (threading.current_thread() in threads) == (preparing == "cpu")


def test_a_fault_of_what_reads_the_vectors_is_no_fault_of_the_items(
    model: savs.Model, corner_pictures: list[savs.Sample]
) -> None:
    def broken(vectors: torch.Tensor) -> torch.Tensor:
        raise ValueError("a bug")

    requests = [Request(n, s, s.question) for n, s in enumerate(corner_pictures)]

    with pytest.raises(ValueError, match="a bug"):
        list(stream(model, requests, Timings(), read=broken))


def test_an_image_gives_the_same_vectors_as_a_file_in_memory_as_an_array_and_in_a_dict(
    qwen2: savs.Model, corner_pictures: list[savs.Sample]
) -> None:
    [path], question = corner_pictures[0].media, str(corner_pictures[0].question)
    image = Image.open(path)
    items = [path, Path(path), image, np.asarray(image), {"image": image, "label": "top"}, {"image": path}]

    found = savs.extract(qwen2, items, question=question, budget=Budget(1, 10**9))

    expected = savs.extract(qwen2, corner_pictures[:1]).vectors.values
    assert not found.errors and len(found.vectors) == len(items)
    assert np.allclose(found.vectors.values, np.repeat(expected, len(items), axis=0), atol=1e-5)
    assert [sample.label for sample in found.samples] == [None, None, None, None, "top", None]


def test_samples_with_images_in_memory_can_be_extracted_again(
    qwen2: savs.Model, corner_pictures: list[savs.Sample]
) -> None:
    image = np.asarray(Image.open(corner_pictures[0].media[0]))
    once = savs.extract(qwen2, [image], question="Where is it bright?")

    again = savs.extract(qwen2, once.samples, question="Where is it bright?")

    assert np.array_equal(once.vectors.values, again.vectors.values)


def test_a_wrong_item_is_refused_before_the_model_runs(model: savs.Model) -> None:
    seen = refusing(model, RuntimeError("the model ran"), 0)

    with pytest.raises(savs.SettingsError, match="item 1: a value of type int"):
        savs.extract(model, [np.zeros((28, 28, 3), np.uint8), 5], question="What?")  # type: ignore[list-item]
    assert not seen


def test_each_item_without_an_index_has_an_error_of_its_own(qwen2: savs.Model, tmp_path: Path) -> None:
    gone = [savs.Sample(media=str(tmp_path / name), question="What?") for name in ("a.png", "b.png")]  # type: ignore[arg-type]

    found = savs.extract(qwen2, [gone[0], np.zeros((28, 28), np.uint8), gone[1]], question="What?")

    assert [sample.index for sample in found.samples] == [1]
    assert {n: str(error) for n, error in found.errors.items()} == {
        0: f"{tmp_path}/a.png does not exist",
        2: f"{tmp_path}/b.png does not exist",
    }


def test_models_vectors_and_results_are_shown_on_one_line(
    qwen2: savs.Model, corner_pictures: list[savs.Sample]
) -> None:
    found = savs.extract(qwen2, [*corner_pictures[:2], savs.Sample(9, "9")])

    assert repr(qwen2) == f"Model({qwen2.name!r}, revision local, float32 on cpu, 3 layers × 4 heads)"
    assert repr(found.vectors) == "HeadVectors(items: 2, 3 layers × 4 heads)"
    assert repr(found) == "Extraction(samples: 2, errors: 1, 3 layers × 4 heads)"

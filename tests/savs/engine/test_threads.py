"""One model in several threads, as notebooks and web servers use it."""

import copy
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

import savs
from tests.savs.data.drawing import noise

THREADS = 4
ROUNDS = 5


def test_threads_that_share_a_model_get_their_own_vectors(qwen2: savs.Model, tmp_path: Path) -> None:
    items = []
    for seed in range(4 * THREADS):
        noise(28 + 28 * (seed % 3), 28, seed).save(tmp_path / f"{seed}.png")
        items.append(
            {"image": str(tmp_path / f"{seed}.png"), "question": "What is it?" + " Say." * (seed % 4)}
        )
    parts = [items[n::THREADS] for n in range(THREADS)]
    alone = [savs.extract(qwen2, part).vectors.values for part in parts]

    with ThreadPoolExecutor(THREADS) as pool:
        found = list(pool.map(lambda part: savs.extract(qwen2, part), parts * ROUNDS))

    for one, expected in zip(found, alone * ROUNDS, strict=True):
        assert not one.errors
        np.testing.assert_allclose(one.vectors.values, expected, atol=1e-4)


def test_a_deep_copy_of_a_model_reads_the_same_vectors(qwen2: savs.Model, tmp_path: Path) -> None:
    noise(28, 28, 0).save(tmp_path / "one.png")
    items = [{"image": str(tmp_path / "one.png"), "question": "What is it?"}]

    copied = copy.deepcopy(qwen2)

    assert copied.network is not qwen2.network
    found, expected = (savs.extract(model, items).vectors.values for model in (copied, qwen2))
    np.testing.assert_array_equal(found, expected)

"""Head vectors as bytes: the same rows are the same values and the same bytes wherever they are."""

import subprocess
import sys

import numpy as np

from savs.engine.vectors import HeadVectors, metadata_of, vectors_from_bytes, vectors_to_bytes
from savs.model.heads import HeadLayout, LayerHeads

LAYOUT = HeadLayout((LayerHeads(0, 4, 8), LayerHeads(3, 2, 16)))
METADATA = {"z": "last", "a": "first", "m": "ä"}


def some(rows: int = 50) -> HeadVectors:
    values = np.random.default_rng(0).standard_normal((rows, LAYOUT.width)) * 1000
    return HeadVectors(LAYOUT, values.astype(np.float32))


def test_a_rows_values_do_not_depend_on_the_rows_that_are_stored_with_it() -> None:
    vectors = some()

    whole = vectors_from_bytes(vectors_to_bytes(vectors), "whole").values
    parts = [vectors_from_bytes(vectors_to_bytes(vectors[[n]]), "part").values for n in range(len(vectors))]

    # below a part of a ten-millionth of its head's largest value
    assert np.abs(whole - np.concatenate(parts)).max() < 1e-7 * np.abs(vectors.values).max()
    assert np.abs(whole - vectors.values).max() < 2**-11 * 4096


def test_the_same_vectors_are_the_same_bytes_in_every_process() -> None:
    code = (
        "from tests.savs.engine.test_vectors_as_bytes import *\n"
        "import sys; sys.stdout.buffer.write(vectors_to_bytes(some(), METADATA))"
    )

    found = {
        subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout for _ in range(3)
    }

    assert found == {vectors_to_bytes(some(), METADATA)}
    assert metadata_of(found.pop()).items() >= METADATA.items()

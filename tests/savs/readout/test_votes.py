"""Votes taken all at once are those that are taken head by head."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import savs
from savs.readout.fit import nearest
from savs.readout.votes import DeviceReadout
from tests.savs.data.drawing import head_vectors

SIZES = ((3, 4), (2, 8), (3, 4))  # layers of (heads, width): two widths
WIDTH = 40


def fitted(seed: int, classes: int, heads: int) -> tuple[savs.Readout, savs.HeadVectors]:
    rng = np.random.default_rng(seed)
    labels = [f"class {i % classes}" for i in range(4 * classes)]
    examples = head_vectors(rng.standard_normal((len(labels), WIDTH)), *SIZES)
    items = head_vectors(rng.standard_normal((30, WIDTH)), *SIZES)
    return savs.fit(examples, labels, heads), items


@given(st.integers(0, 10**6), st.integers(2, 7), st.integers(1, 8))
@settings(max_examples=60, deadline=None)
def test_every_head_names_the_centroid_that_is_nearest_to_it(seed: int, classes: int, heads: int) -> None:
    readout, items = fitted(seed, classes, heads)
    places = items.layout.slices()

    named = DeviceReadout.of(readout, items.layout).named(torch.from_numpy(items.values))

    for rank, (layer, head) in enumerate(readout.heads.tolist()):
        own = torch.from_numpy(np.ascontiguousarray(items.values[:, places[layer, head]]))
        assert named[:, rank].tolist() == nearest(own, torch.from_numpy(readout.centroids[rank])).tolist()


def test_of_equal_classes_the_first_is_named() -> None:
    # given two pairs of classes with the same examples
    rng = np.random.default_rng(5)
    pair = rng.standard_normal((2, WIDTH)).astype(np.float32)
    examples = head_vectors(pair[[0, 1, 0, 1]], *SIZES)
    readout = savs.fit(examples, ["a", "b", "c", "d"], 8)
    items = torch.from_numpy(rng.standard_normal((50, WIDTH)).astype(np.float32))

    named = DeviceReadout.of(readout, examples.layout).named(items)

    assert set(named.flatten().tolist()) == {0, 1}


def test_only_the_layers_of_the_chosen_heads_are_needed() -> None:
    readout, items = fitted(1, 3, 4)
    layers = {int(layer) for layer, _ in readout.heads}
    short = items.layout.only(layers)
    columns = np.concatenate([np.arange(WIDTH)[items.layout.slices()[head]] for head in short.heads()])

    whole = DeviceReadout.of(readout, items.layout).named(torch.from_numpy(items.values))
    part = DeviceReadout.of(readout, short).named(
        torch.from_numpy(np.ascontiguousarray(items.values[:, columns]))
    )

    assert torch.equal(whole, part)
    with pytest.raises(KeyError):
        DeviceReadout.of(readout, items.layout.only(set()))

"""Head vectors: taking rows, joining, and their files."""

import json
import warnings
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import load, save

from savs.engine.vectors import HeadVectors, metadata_of, vectors_from_bytes, vectors_to_bytes
from savs.errors import ArtifactError, ArtifactNotFound, FitError, StorageError
from tests.savs.data.drawing import head_vectors

SIZES = ((3, 4), (2, 6), (1, 16))
WIDTH = 40
LAYOUT = json.dumps([[0, 3, 4], [1, 2, 6], [2, 1, 16]])


def vectors_of(rows: int = 10, seed: int = 0) -> HeadVectors:
    return head_vectors(np.random.default_rng(seed).normal(size=(rows, WIDTH)), *SIZES)


def back_from_bytes(vectors: HeadVectors) -> HeadVectors:
    return vectors_from_bytes(vectors_to_bytes(vectors), "some vectors")


def bytes_with(layout: str | None = LAYOUT, **tensors: np.ndarray) -> bytes:
    """A file of vectors of which some parts are others."""
    whole = {**load(vectors_to_bytes(vectors_of())), **tensors}
    return save(whole, None if layout is None else {"layout": layout})


@pytest.fixture(params=["disk", "s3"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return str(tmp_path) if request.param == "disk" else f"s3://{request.getfixturevalue('bucket')}/vectors"


def test_saved_vectors_come_back_with_their_layout(place: str) -> None:
    vectors = vectors_of()

    vectors.save(f"{place}/deeper/vectors.safetensors")
    back = HeadVectors.load(f"{place}/deeper/vectors.safetensors")

    assert back.layout == vectors.layout
    assert back.values.dtype == np.float32
    assert np.allclose(back.values, vectors.values, atol=1e-3 * np.abs(vectors.values).max())


def test_a_missing_file_is_told_apart_from_a_folder(place: str, tmp_path: Path) -> None:
    with pytest.raises(ArtifactNotFound, match="no head vectors at"):
        HeadVectors.load(f"{place}/gone.safetensors")
    with pytest.raises(StorageError, match="directory"):
        HeadVectors.load(tmp_path)


@pytest.mark.parametrize("size", [1e-7, 1e-3, 1.0, 1e5, 1e30])
def test_a_head_loses_less_than_a_thousandth_whatever_the_size_of_its_numbers(size: float) -> None:
    vectors = vectors_of(rows=50)
    columns = list(vectors.layout.slices().values())
    vectors.values[:, columns[1]] *= np.float32(size)  # the other heads keep theirs

    before, after = vectors.values.astype(float), back_from_bytes(vectors).values.astype(float)

    for place in columns:
        lost = np.linalg.norm(after[:, place] - before[:, place], axis=1)
        assert (lost / np.linalg.norm(before[:, place], axis=1)).max() < 1e-3


def test_the_same_vectors_are_the_same_bytes_with_their_metadata_in_order() -> None:
    said = dict.fromkeys("abcdefgh", "größer")

    one, *others = (vectors_to_bytes(vectors_of(), said) for _ in range(5))

    assert set(others) == {one}
    assert list(metadata_of(one)) == [*"abcdefgh", "layout"]
    assert int.from_bytes(one[:8], "little") % 8 == 0
    assert sorted(load(one)) == ["scales", "vectors"]


def test_the_file_has_two_bytes_per_number() -> None:
    assert len(vectors_to_bytes(vectors_of(rows=1000))) < 1000 * WIDTH * 2 + 1000


def test_a_head_of_zeros_stays_zero() -> None:
    vectors = vectors_of()
    vectors.values[:, :4] = 0

    assert not back_from_bytes(vectors).values[:, :4].any()


@pytest.mark.parametrize("odd", [np.nan, np.inf, -np.inf])
def test_a_number_that_is_not_finite_stays_and_changes_no_other(odd: float) -> None:
    vectors = vectors_of()
    vectors.values[:, :4] *= np.float32(1e5)  # too large for float16
    want = back_from_bytes(vectors).values
    vectors.values[3, 1] = odd

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        back = back_from_bytes(vectors).values

    assert np.array_equal(back[3, 1], np.float32(odd), equal_nan=True)
    others = np.ones(back.shape, bool)
    others[3, 1] = False
    assert np.allclose(back[others], want[others], rtol=2e-3, atol=1e-3 * 1e5)
    assert np.isfinite(back[others]).all()


def test_no_vectors_are_saved_too() -> None:
    back = back_from_bytes(vectors_of()[:0])

    assert back.values.shape == (0, WIDTH) and back.layout == vectors_of().layout


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xff" * 100,
        b"\xff" * 7 + b"\x7f{",
        vectors_to_bytes(vectors_of())[:-1],
        bytes_with(layout=None),
        bytes_with(layout="null"),
        bytes_with(layout="[]"),
        bytes_with(layout="[" * 100_000),
        bytes_with(layout="[[0, 3]]"),
        bytes_with(layout="[[0, 3, Infinity]]"),
        bytes_with(layout='[["secret", 3, 4]]'),
        bytes_with(layout="[[0, 3, 4], [1, 2, 6]]"),
        bytes_with(layout="[[0, 3, 4], [1, 2, 6], [1, 1, 16]]"),
        bytes_with(layout="[[0, 3, 4], [1, 2, 6], [-1, 1, 16]]"),
        bytes_with(layout="[[0, -3, -4], [1, 2, 6], [2, 1, 16]]"),
        bytes_with(layout="[[0, 0, 4], [0, 3, 4], [1, 2, 6], [2, 1, 16]]"),
        bytes_with(scales=np.ones(5, np.float32)),
        bytes_with(scales=np.ones(6, np.float64)),
        bytes_with(scales=np.full(6, np.inf, np.float32)),
        bytes_with(scales=np.ones((), np.float32)),
        bytes_with(vectors=np.zeros((10, WIDTH), np.float32)),
        bytes_with(vectors=np.zeros((10, WIDTH + 1), np.float16)),
        bytes_with(vectors=np.zeros(WIDTH, np.float16)),
        bytes_with(vectors=np.zeros((2, 5, WIDTH), np.float16)),
    ],
)
def test_another_file_is_an_artifact_error_that_quotes_nothing_of_it(data: bytes) -> None:
    with pytest.raises(ArtifactError, match=r"^some vectors (is not a file|does not match)") as caught:
        vectors_from_bytes(data, "some vectors")
    assert "secret" not in str(caught.value)


@pytest.mark.timeout(20)
@pytest.mark.parametrize("layer", [[0, 10**9, 1], [0, 1, 10**13]])
def test_a_file_that_speaks_of_a_billion_heads_or_numbers_takes_no_memory(layer: list[int]) -> None:
    width = layer[1] * layer[2]
    scales = np.ones(1, np.float32)
    data = save(
        {"vectors": np.zeros((0, width), np.float16), "scales": scales}, {"layout": json.dumps([layer])}
    )

    try:
        found = vectors_from_bytes(data, "some vectors")
    except ArtifactError as error:
        assert str(error)
    else:
        assert len(found) == 0


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_damaged_bytes_are_vectors_or_an_artifact_error(data: st.DataObject) -> None:
    whole = vectors_to_bytes(vectors_of(rows=2))
    at = data.draw(st.integers(0, 300) | st.integers(0, len(whole) - 1))
    piece = data.draw(st.binary(max_size=3) | st.sampled_from([b"9", b"-", b"[", b'"', b"null"]))
    damaged = whole[:at] + piece + whole[at + data.draw(st.integers(0, 3)) :]

    try:
        found = vectors_from_bytes(damaged, "some vectors")
    except ArtifactError as error:
        assert str(error)
    else:
        assert found.values.shape[1] == found.layout.width


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        (slice(2, 4), [2, 3]),
        (slice(None, None, -4), [9, 5, 1]),
        ([3, 0], [3, 0]),
        ([], []),
        (np.array([-1]), [9]),
        (np.arange(10) % 5 == 0, [0, 5]),
    ],
)
def test_rows_are_taken_by_slice_number_or_mask(rows: slice, expected: list[int]) -> None:
    vectors = vectors_of()

    some = vectors[rows]

    assert some.layout == vectors.layout and len(some) == len(expected)
    assert np.array_equal(some.values, vectors.values[np.array(expected, int)])


@pytest.mark.parametrize("rows", [0, np.int64(0), None, (slice(None), slice(0, 4)), (slice(None), 0)])
def test_anything_but_whole_rows_is_refused(rows: slice) -> None:
    with pytest.raises(TypeError, match=r"one item is vectors\[n:n \+ 1\]"):
        vectors_of()[rows]


def test_parts_are_joined_in_order() -> None:
    whole = vectors_of()

    joined = HeadVectors.concat([whole[:3], whole[3:3], whole[3:]])

    assert joined.layout == whole.layout and np.array_equal(joined.values, whole.values)


def test_parts_of_two_models_are_not_joined() -> None:
    other = head_vectors(np.zeros((1, 12)), (3, 2), (2, 2), (1, 2))

    with pytest.raises(FitError, match="found 3 layers, 6 heads in 40 values and 3 layers, 6 heads in 12"):
        HeadVectors.concat([vectors_of(), other])


def test_no_parts_are_refused() -> None:
    with pytest.raises(FitError, match="no vectors"):
        HeadVectors.concat([])

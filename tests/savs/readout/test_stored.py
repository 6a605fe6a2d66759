"""A readout in a file of its own: what is saved comes back, and nothing else is taken for one."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from savs.artifact.artifact import save_artifact
from savs.errors import ArtifactError, ArtifactNotFound, StorageError
from savs.readout.choice import fit
from savs.readout.classify import classify
from savs.readout.fit import Readout
from tests.savs.readout.test_artifact import ONE_WIDTH, TWO_WIDTHS, Sizes, make, vectors_of


def fitted(sizes: Sizes, heads: int = 5) -> Readout:
    return fit(vectors_of(sizes), ["größer", "smaller", "equal"] * 4, heads=heads)


@pytest.fixture(params=["disk", "s3"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return str(tmp_path) if request.param == "disk" else f"s3://{request.getfixturevalue('bucket')}/readouts"


@pytest.mark.parametrize("sizes", [ONE_WIDTH, TWO_WIDTHS])
@pytest.mark.parametrize("heads", [1, 6])
def test_what_is_saved_comes_back(place: str, sizes: Sizes, heads: int) -> None:
    readout = fitted(sizes, heads)

    readout.save(f"{place}/deeper/sizes.safetensors")
    back = Readout.load(f"{place}/deeper/sizes.safetensors")

    assert (back.mode, back.classes, back.layout) == (readout.mode, readout.classes, readout.layout)
    for one, other in ((back.heads, readout.heads), (back.scores, readout.scores)):
        assert np.array_equal(one, other) and one.dtype == other.dtype
    for one, other in zip(back.centroids, readout.centroids, strict=True):
        assert np.array_equal(one, other) and one.dtype == other.dtype
    corpus = vectors_of(sizes, rows=30, seed=1)
    assert classify(back, corpus) == classify(readout, corpus)


def test_a_file_that_is_there_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "sizes.safetensors"
    fitted(ONE_WIDTH, heads=2).save(path)
    fitted(ONE_WIDTH, heads=3).save(path)

    assert len(Readout.load(path).heads) == 3
    assert [file.name for file in tmp_path.iterdir()] == ["sizes.safetensors"]


def test_the_same_readout_is_the_same_bytes(tmp_path: Path) -> None:
    for name in ("one", "other"):
        fitted(TWO_WIDTHS).save(tmp_path / name)

    assert (tmp_path / "one").read_bytes() == (tmp_path / "other").read_bytes()


def test_a_missing_file_is_told_apart_from_a_damaged_one(place: str) -> None:
    with pytest.raises(ArtifactNotFound, match="no readout at"):
        Readout.load(f"{place}/gone.safetensors")


def test_a_folder_can_be_neither_written_nor_read(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="directory"):
        fitted(ONE_WIDTH).save(tmp_path)
    with pytest.raises(StorageError, match="directory"):
        Readout.load(tmp_path)


def test_the_tensors_of_an_artifact_alone_are_no_readout(tmp_path: Path) -> None:
    save_artifact(make(), str(tmp_path))

    with pytest.raises(ArtifactError, match=r"savs\.safetensors is not a file that Readout.save wrote"):
        Readout.load(tmp_path / "savs.safetensors")


@pytest.mark.parametrize(
    "change",
    [
        {"schema_version": 2},
        {"classes": ["alone"]},
        {"classes": ["one", "two"]},
        {"scores": [1, 2]},
        {"layout": []},
        {"surprise": 1},
    ],
)
def test_a_description_that_does_not_fit_the_tensors_is_refused(
    tmp_path: Path, change: dict[str, object]
) -> None:
    from safetensors.numpy import load, save

    path = tmp_path / "sizes.safetensors"
    fitted(ONE_WIDTH).save(path)
    data = path.read_bytes()
    header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    said = json.loads(header["__metadata__"]["readout"]) | change
    path.write_bytes(save(load(data), {"readout": json.dumps(said)}))

    with pytest.raises(ArtifactError, match=r"is not a file|does not match"):
        Readout.load(path)


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_damaged_bytes_are_a_readout_or_an_artifact_error(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    path = tmp_path_factory.getbasetemp() / "damaged.safetensors"
    fitted(TWO_WIDTHS).save(path)
    whole = path.read_bytes()
    at = data.draw(st.integers(0, 20) | st.integers(0, len(whole) - 1))
    piece = data.draw(st.binary(max_size=3) | st.sampled_from([b"9", b"-", b"[", b'"', b"null"]))
    path.write_bytes(whole[:at] + piece + whole[at + data.draw(st.integers(0, 3)) :])

    try:
        readout = Readout.load(path)
    except ArtifactError as error:
        assert str(error)
    else:
        assert len(readout.heads) == len(readout.centroids)
